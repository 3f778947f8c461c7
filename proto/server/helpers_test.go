package server

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// The moment of most tests.
const (
	rxTime = proto.Timestamp(0xee000000_10000000)
	txTime = proto.Timestamp(0xee000000_10010000)
	atMono = proto.Instant(1e12)
)

func transmitAt(t proto.Timestamp) func() proto.Timestamp { return func() proto.Timestamp { return t } }

// synchronised is a server at stratum 2.
func synchronised() *TimeSnapshot {
	return &TimeSnapshot{
		Leap: proto.LeapInsert, Stratum: 2, RefID: 0xc0000201, Reference: 0xed000000_00000000,
		RootDelay: proto.Second / 64, RootDispersion: proto.Second / 128, Precision: -23,
		Mono: atMono, ValidUntil: atMono + 1e9,
	}
}

// from is a request by a client to 192.0.2.1.
func from(client string, payload []byte) Request {
	return Request{
		Payload: payload,
		From:    netip.AddrPortFrom(netip.MustParseAddr(client), 40000),
		To:      netip.MustParseAddr("192.0.2.1"),
		Rx:      proto.Stamp{At: rxTime, Source: proto.StampKernel},
		Mono:    atMono,
	}
}

// clientHeader is a request's header with random-looking bits where a client
// puts them.
func clientHeader(version uint8) proto.Header {
	return proto.Header{
		Leap: 3, Version: version, Mode: proto.ModeClient, Poll: 9, Precision: 32,
		Origin: 0x1111, Receive: 0x2222, Transmit: 0xfedcba98_76543210,
	}
}

func plain(version uint8) []byte {
	h := clientHeader(version)
	return h.Append(nil)
}

// field appends an extension field, with exactly the value.
func field(b []byte, t proto.FieldType, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
	return append(b, value...)
}

// uid is a unique identifier of n octets.
func uid(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(0xa0 + i)
	}
	return b
}

// association is what an NTS client has.
type association struct {
	keys   *cookie.Keyset
	c2s    aead.AEAD
	s2c    aead.AEAD
	cookie []byte
}

func associate(t testing.TB, a aead.Algorithm) *association {
	t.Helper()
	entropy := seeded(7)
	keys, err := cookie.NewKeyset(entropy)
	if err != nil {
		t.Fatal(err)
	}
	c := cookie.Contents{Algorithm: a, C2S: bytes.Repeat([]byte{0xc2}, a.KeyLen()), S2C: bytes.Repeat([]byte{0x2c}, a.KeyLen())}
	x := &association{keys: keys}
	if x.cookie, err = keys.Seal(nil, c, uid(cookie.NonceLen)); err != nil {
		t.Fatal(err)
	}
	if x.c2s, err = aead.New(a, c.C2S); err == nil {
		x.s2c, err = aead.New(a, c.S2C)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// seal authenticates a packet and hides fields.
func (x *association) seal(t testing.TB, packet, hidden []byte) []byte {
	t.Helper()
	out, err := aead.AppendField(packet, x.c2s, uid(16), hidden)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// request is a request with a number of placeholders in the clear.
func (x *association) request(t testing.TB, placeholders int) []byte {
	t.Helper()
	b := field(plain(4), proto.FieldUniqueIdentifier, uid(32))
	b = field(b, proto.FieldCookie, x.cookie)
	for range placeholders {
		b = field(b, proto.FieldCookiePlaceholder, make([]byte, len(x.cookie)))
	}
	return x.seal(t, b, nil)
}

// opened is a response that an NTS client has verified.
type opened struct {
	proto.Header
	cookies [][]byte
	// authenticated and encrypted list the types of the fields.
	authenticated, encrypted []proto.FieldType
}

// open verifies a response as RFC 8915 section 5.7 asks a client to.
func (x *association) open(t testing.TB, response []byte) (o opened, ok bool) {
	t.Helper()
	p, err := proto.ParsePacket(response)
	if err != nil {
		t.Fatalf("response %x: %v", response, err)
	}
	o.Header = p.Header
	for f := range p.All() {
		o.authenticated = append(o.authenticated, f.Type)
		if f.Type != proto.FieldAuthenticator {
			continue
		}
		inner, err := aead.OpenField(nil, response, f, x.s2c)
		if err != nil || proto.CheckInner(inner) != nil {
			t.Fatalf("response does not open: %v", err)
		}
		for f := range proto.Inner(inner) {
			o.encrypted = append(o.encrypted, f.Type)
			if f.Type == proto.FieldCookie {
				o.cookies = append(o.cookies, f.Value)
			}
		}
		ok = true
	}
	return o, ok
}

// respond asks a responder that answers everyone.
func respond(t testing.TB, payload []byte, k *cookie.Keyset) ([]byte, Verdict) {
	t.Helper()
	return respondAs(t, Config{Versions: Version3And4}, "192.0.2.9", payload, k)
}

// respondAs asks a responder, and checks what must hold of every response.
func respondAs(t testing.TB, cfg Config, client string, payload []byte, k *cookie.Keyset) ([]byte, Verdict) {
	t.Helper()
	r := New(cfg, seeded(3))
	out, v := r.Respond(nil, from(client, payload), synchronised(), k, transmitAt(txTime))
	check(t, payload, out, v)
	return out, v
}

// check holds for every request and response: there is one exactly when the
// verdict says so, it is a server's and no longer than the request.
func check(t testing.TB, in, out []byte, v Verdict) {
	t.Helper()
	switch {
	case v.Answered() != (len(out) > 0):
		t.Fatalf("verdict %v with %d octets", v, len(out))
	case len(out) > len(in):
		t.Fatalf("%v: %d octets answer %d", v, len(out), len(in))
	case len(out) > 0 && proto.Mode(out[0]&7) != proto.ModeServer:
		t.Fatalf("%v: response of mode %d", v, out[0]&7)
	case len(out) > 0 && out[0]&0x38 != in[0]&0x38:
		t.Fatalf("%v: version %d answers version %d", v, out[0]>>3&7, in[0]>>3&7)
	case len(out) > 0 && !bytes.Equal(out[24:32], in[40:48]):
		t.Fatalf("%v: origin %x answers %x", v, out[24:32], in[40:48])
	}
}

// header parses a response.
func header(t testing.TB, b []byte) proto.Header {
	t.Helper()
	h, err := proto.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
