package recording

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Bounds on what is remembered.
const (
	maxSessions = 1024
	maxShort    = 1024
	maxSent     = 64
	// leastSecret is the length from which a cookie is looked for in packets
	// that do not say where it is; a shorter one is anywhere by chance.
	leastSecret = 16
)

// errSecret ends a recording rather than let a secret into it.
var errSecret = errors.New("recording: a request is sealed with keys that no key exchange gave, so its secrets cannot be removed")

// scrubber removes secrets. It follows the sessions of Network Time Security as
// the engine has them: keys come with KeysEstablished and Restored, cookies with
// those and with replies that authenticate.
type scrubber struct {
	secret   [32]byte
	sessions []*session // the newest first
	flights  map[engine.ExchangeID]*session
	short    []short
	sent     [][]byte // cookies, which anyone on the path can send back
}

// session is one key exchange's keys, real and dummy.
type session struct {
	c2s, s2c           aead.AEAD
	dummyC2S, dummyS2C aead.AEAD
	to                 netip.AddrPort // the server that is asked with them
}

// short is a cookie that a request carries with zeros behind it.
type short struct {
	dummy []byte // of the cookie with its zeros
	n     int    // length of the cookie
}

func newScrubber(secret [32]byte) *scrubber {
	return &scrubber{secret: secret, flights: map[engine.ExchangeID]*session{}}
}

// dummy is what stands for a secret: a pseudorandom function of it, as long as
// it is (HMAC-SHA-256 over label, counter and secret).
func (s *scrubber) dummy(label byte, real []byte) []byte {
	var out []byte
	for i := uint32(0); len(out) < len(real); i++ {
		mac := hmac.New(sha256.New, s.secret[:])
		mac.Write(binary.BigEndian.AppendUint32([]byte{label}, i))
		mac.Write(real)
		out = mac.Sum(out)
	}
	return out[:len(real):len(real)]
}

// cookie is the dummy of a cookie that the client may send: it depends on what
// the cookie looks like in a request, where that is all there is to go by.
func (s *scrubber) cookie(c []byte) []byte {
	field, err := proto.AppendField(nil, proto.FieldCookie, c, proto.MinFieldLen)
	if err != nil {
		return s.dummy('c', c) // too long to be sent
	}
	d := s.dummy('c', field[4:])
	if len(d) != len(c) {
		s.short = append(s.short, short{d, len(c)})
		s.short = s.short[max(len(s.short)-maxShort, 0):]
	}
	return slices.Clone(d[:len(c)])
}

// carried is the dummy of the value of a cookie field in a request.
func (s *scrubber) carried(value []byte) []byte {
	if len(value) >= leastSecret {
		s.sent = append(s.sent, slices.Clone(value))
		s.sent = s.sent[max(len(s.sent)-maxSent, 0):]
	}
	d := s.dummy('c', value)
	for _, c := range s.short {
		if bytes.Equal(c.dummy, d) {
			d = slices.Clone(d)
			clear(d[c.n:])
			break
		}
	}
	return d
}

// event returns an event without secrets.
func (s *scrubber) event(ev engine.Event) engine.Event {
	switch ev := ev.(type) {
	case engine.KeysEstablished:
		return s.established(ev)
	case engine.Restored:
		return s.restored(ev)
	case engine.Received:
		ev.Payload = s.reply(s.flights[ev.Exchange], ev.Payload)
		return ev
	default:
		return ev
	}
}

// action returns an action without secrets.
func (s *scrubber) action(a engine.Action) (engine.Action, error) {
	switch a := a.(type) {
	case engine.Send:
		return s.request(a)
	case engine.Abandon:
		delete(s.flights, a.Exchange)
	}
	return a, nil
}

func (s *scrubber) established(ev engine.KeysEstablished) engine.KeysEstablished {
	ev.C2S, ev.S2C = s.keys(ev.Algorithm, ev.C2S, ev.S2C)
	ev.Cookies = s.cookies(ev.Cookies)
	return ev
}

func (s *scrubber) restored(ev engine.Restored) engine.Restored {
	all := slices.Clone(ev.Sessions)
	for i := range all {
		x := &all[i]
		x.C2S, x.S2C = s.keys(x.Algorithm, x.C2S, x.S2C)
		x.Cookies, x.Spare = s.cookies(x.Cookies), s.cookies(x.Spare)
	}
	return engine.Restored{Sessions: all}
}

func (s *scrubber) cookies(real []engine.Secret) []engine.Secret {
	var dummies []engine.Secret
	for _, c := range real {
		dummies = append(dummies, s.cookie(c))
	}
	return dummies
}

// keys returns what stands for the keys of a session from now on.
func (s *scrubber) keys(a aead.Algorithm, c2s, s2c engine.Secret) (dummyC2S, dummyS2C engine.Secret) {
	dummyC2S, dummyS2C = s.dummy('k', c2s), s.dummy('k', s2c)
	var n session
	var errs [4]error
	n.c2s, errs[0] = aead.New(a, c2s)
	n.s2c, errs[1] = aead.New(a, s2c)
	n.dummyC2S, errs[2] = aead.New(a, dummyC2S)
	n.dummyS2C, errs[3] = aead.New(a, dummyS2C)
	if errors.Join(errs[:]...) == nil { // else of no use to the engine either
		s.sessions = slices.Insert(s.sessions, 0, &n)
		s.sessions = s.sessions[:min(len(s.sessions), maxSessions)]
	}
	return dummyC2S, dummyS2C
}

// request replaces the cookie of a request and seals it again.
func (s *scrubber) request(a engine.Send) (engine.Send, error) {
	b := bytes.Clone(a.Payload)
	p, err := proto.ParsePacket(b)
	if err != nil {
		return a, errSecret
	}
	auth, sealed := authenticator(&p)
	if !sealed {
		return a, nil
	}
	n, plaintext := s.sealer(a.To, a.Payload, auth)
	if n == nil {
		return a, errSecret
	}
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			copy(f.Value, s.carried(f.Value))
		}
	}
	if !seal(b, auth, n.dummyC2S, plaintext) {
		return a, errSecret
	}
	n.to = a.To
	s.flights[a.Exchange] = n
	a.Payload = b
	return a, nil
}

// sealer finds the session whose key sealed a request to a server.
func (s *scrubber) sealer(to netip.AddrPort, packet []byte, auth proto.Field) (*session, []byte) {
	for _, expected := range []bool{true, false} {
		for _, n := range s.sessions {
			if (n.to == to) != expected {
				continue
			}
			if plaintext, err := aead.OpenField(nil, packet, auth, n.c2s); err == nil {
				return n, plaintext
			}
		}
	}
	return nil, nil
}

// reply returns a datagram that came back in an exchange, without secrets:
// cookies are replaced wherever they are, and what authenticates is sealed
// again. n is nil in an exchange without keys.
func (s *scrubber) reply(n *session, datagram []byte) []byte {
	plaintext, authentic := n.open(datagram)
	b := bytes.Clone(datagram)
	for _, c := range s.sent {
		b = bytes.ReplaceAll(b, c, s.dummy('c', c))
	}
	p, err := proto.ParsePacket(b)
	if err != nil {
		return b
	}
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			copy(f.Value, s.dummy('c', f.Value))
		}
	}
	if auth, sealed := authenticator(&p); sealed && authentic {
		for f := range proto.Inner(plaintext) {
			if f.Type == proto.FieldCookie {
				copy(f.Value, s.cookie(f.Value))
			}
		}
		seal(b, auth, n.dummyS2C, plaintext)
	}
	return b
}

// open authenticates a reply.
func (n *session) open(datagram []byte) (plaintext []byte, ok bool) {
	if n == nil {
		return nil, false
	}
	p, err := proto.ParsePacket(datagram)
	if err != nil {
		return nil, false
	}
	auth, sealed := authenticator(&p)
	if !sealed {
		return nil, false
	}
	plaintext, err = aead.OpenField(nil, datagram, auth, n.s2c)
	return plaintext, err == nil
}

// authenticator is the first of a packet, the one that counts.
func authenticator(p *proto.Packet) (proto.Field, bool) {
	for f := range p.All() {
		if f.Type == proto.FieldAuthenticator {
			return f, true
		}
	}
	return proto.Field{}, false
}

// seal replaces what an authenticator field of a packet holds, with its nonce
// as it is.
func seal(packet []byte, auth proto.Field, a aead.AEAD, plaintext []byte) bool {
	nonce, text, _, err := proto.ParseAuthenticator(auth.Value)
	if err != nil {
		return false
	}
	sealed, err := a.Seal(nil, nonce, plaintext, packet[:auth.Offset])
	if err != nil || len(sealed) != len(text) {
		return false
	}
	copy(text, sealed)
	return true
}
