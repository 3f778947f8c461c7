package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// exchange is a request that is under way, and what its answer must be like.
type exchange struct {
	busy    bool
	from    [4]byte
	origin  proto.Timestamp // random; the low bits are the number of the exchange
	began   time.Duration   // when it was sent, or should have been
	length  int             // of the request
	session *session        // nil without NTS
	wanted  int             // cookies
	given   int             // cookies
	// turnaround is how long the server says to have had the request.
	turnaround time.Duration
	uniqueID   [proto.UniqueIDLen]byte
}

// Bits of origin for the number of the exchange, of which there are maxWindow.
const (
	numberBits = 16
	maxWindow  = 1 << numberBits
)

// crafter makes requests and checks answers. It belongs to one goroutine.
type crafter struct {
	random    *rand.ChaCha8
	aead      aead.Local
	plaintext []byte
	now       func() time.Time
}

// request appends a request of exchange number i to b. spare is how many cookies
// to ask for beyond the one that is spent.
func (c *crafter) request(b []byte, e *exchange, i, spare int) ([]byte, error) {
	e.origin = proto.Timestamp(c.random.Uint64()<<numberBits | uint64(i))
	h := proto.Header{Version: 4, Mode: proto.ModeClient, Poll: 6, Precision: 32, Transmit: e.origin}
	b = h.Append(b)
	if e.session == nil {
		e.length = len(b)
		return b, nil
	}
	secret, ok := e.session.cookies.Take()
	if !ok {
		return nil, errors.New("no cookie is left")
	}
	_, _ = c.random.Read(e.uniqueID[:])
	var nonce [16]byte
	_, _ = c.random.Read(nonce[:])
	b, err := proto.AppendField(b, proto.FieldUniqueIdentifier, e.uniqueID[:], proto.MinFieldLen)
	if err == nil {
		b, err = proto.AppendField(b, proto.FieldCookie, secret, proto.MinFieldLen)
	}
	for n := 0; n < spare && err == nil; n++ {
		b, err = proto.AppendField(b, proto.FieldCookiePlaceholder, zeros[:len(secret)], proto.MinFieldLen)
	}
	if err == nil {
		c.aead.Use(e.session.c2s)
		b, err = aead.AppendField(b, &c.aead, nonce[:], nil)
	}
	e.wanted, e.length = 1+spare, len(b)
	return b, err
}

var zeros [1024]byte

// answers finds the exchange that a datagram answers: one that is under way, and
// whose transmit timestamp is the datagram's origin timestamp.
func answers(b []byte, all []exchange) (i int, ok bool) {
	if len(b) < proto.HeaderLen {
		return 0, false
	}
	origin := binary.BigEndian.Uint64(b[24:])
	i = int(origin % maxWindow)
	return i, i < len(all) && all[i].busy && all[i].origin == proto.Timestamp(origin)
}

// maxOff is how far a server's time may be from ours: all have one clock here,
// but on a busy machine an answer may lie half a second before it is looked at.
const maxOff = proto.Second / 2

// maxQueued is how long a request may have waited at the server.
const maxQueued = proto.Second

// check takes an answer apart, whose origin timestamp is right, and says what is
// wrong with it. New cookies go to the session.
func (c *crafter) check(b []byte, e *exchange) error {
	if len(b) > e.length {
		return fmt.Errorf("%d octets answer %d", len(b), e.length)
	}
	p, err := proto.ParsePacket(b)
	if err != nil {
		return err
	}
	now := proto.FromTime(c.now())
	switch {
	case p.Mode != proto.ModeServer || p.Version != 4:
		return fmt.Errorf("version %d, mode %d", p.Version, p.Mode)
	case p.Stratum < 1 || p.Stratum >= proto.MaxStratum || p.Leap == proto.LeapUnsynchronised:
		return fmt.Errorf("stratum %d, leap %d, reference %v", p.Stratum, p.Leap, p.RefID)
	case p.Transmit.Before(p.Receive):
		return fmt.Errorf("sent %v before it was received", p.Receive.Sub(p.Transmit))
	case now.Sub(p.Transmit).Abs() > maxOff || now.Sub(p.Receive).Abs() > maxOff+maxQueued:
		return fmt.Errorf("time is %v off", p.Transmit.Sub(now))
	}
	e.turnaround = p.Transmit.Sub(p.Receive).Std()
	switch {
	case e.session == nil && len(b) != proto.HeaderLen:
		return fmt.Errorf("%d octets", len(b))
	case e.session == nil:
		return nil
	}
	return c.checkProtected(b, &p, e)
}

// checkProtected checks what RFC 8915 section 5.7 asks a client to.
func (c *crafter) checkProtected(b []byte, p *proto.Packet, e *exchange) error {
	identified := false
	for f := range p.All() {
		switch f.Type {
		case proto.FieldUniqueIdentifier:
			identified = bytes.Equal(f.Value, e.uniqueID[:])
		case proto.FieldAuthenticator:
			if !identified {
				return errors.New("no unique identifier of ours")
			}
			return c.checkSealed(b, f, e)
		}
	}
	return errors.New("not authenticated")
}

func (c *crafter) checkSealed(b []byte, f proto.Field, e *exchange) error {
	c.aead.Use(e.session.s2c)
	inner, err := aead.OpenField(c.plaintext[:0], b, f, &c.aead)
	if err != nil {
		return err
	}
	c.plaintext = inner
	if err := proto.CheckInner(inner); err != nil {
		return err
	}
	n := 0
	for f := range proto.Inner(inner) {
		if f.Type == proto.FieldCookie && len(f.Value) == e.session.length {
			n++
		}
	}
	// Some servers give fewer than they are asked for; that shows in the result.
	if n < 1 || n > e.wanted {
		return fmt.Errorf("%d cookies, not 1 to %d", n, e.wanted)
	}
	e.given = n
	for f := range proto.Inner(inner) {
		if f.Type == proto.FieldCookie {
			e.session.cookies.Put(f.Value)
		}
	}
	return nil
}
