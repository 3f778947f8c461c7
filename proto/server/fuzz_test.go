package server

import (
	"bytes"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// FuzzServer gives a responder requests that are mutated before they are
// authenticated, by a client that has valid keys: what the fuzzer writes stands
// in front of the authenticator, inside it and behind it. What it writes is
// also sent as it is.
//
// Whatever comes, a response is no longer than its request, answers only a
// client's request, and holds what RFC 8915 section 5.7 asks for.
func FuzzServer(f *testing.F) {
	x := associate(f, aead.AESSIVCMAC256)
	id := field(nil, proto.FieldUniqueIdentifier, uid(32))
	place := field(nil, proto.FieldCookiePlaceholder, make([]byte, len(x.cookie)))
	f.Add(plain(4), []byte{}, []byte{}, []byte{}, byte(0))
	f.Add(append(plain(4), id...), []byte{}, []byte{}, []byte{}, byte(1))
	f.Add(append(plain(4), id...), place, place, field(nil, 0x4242, make([]byte, 12)), byte(1))
	f.Add(append(plain(4), id...), []byte{}, bytes.Repeat(place, 9), []byte{}, byte(3))
	f.Add(append(plain(3), make([]byte, 20)...), []byte{}, []byte{}, []byte{}, byte(4))
	f.Add(x.request(f, 3), []byte{}, []byte{}, []byte{}, byte(8))
	f.Fuzz(func(t *testing.T, head, more, hidden, behind []byte, choice byte) {
		payload := head
		if choice&1 != 0 {
			// The cookie goes in between, so that it is always valid.
			b := field(bytes.Clone(head), proto.FieldCookie, x.cookie)
			sealed, err := aead.AppendField(append(b, more...), x.c2s, uid(16), hidden)
			if err != nil {
				return // not of mode 3 or 4, or too long for a field
			}
			payload = append(sealed, behind...)
		}
		if len(payload) > 0xffff {
			return
		}
		cfg := Config{Versions: Version3And4}
		if choice&2 != 0 {
			cfg.Access = &AccessList{allowAction: Deny}
		}
		if choice&4 != 0 {
			cfg.Limiter = strict(limiter(t, 1, time.Second))
			q := from("192.0.2.9", payload)
			for range 8 {
				cfg.Limiter.Check(q.Mono, q.From.Addr())
			}
		}
		cfg.RequireNTS = Requirement(choice >> 3 & 3)
		before := bytes.Clone(payload)
		out, v := respondAs(t, cfg, "192.0.2.9", payload, x.keys)
		if !bytes.Equal(before, payload) {
			t.Fatal("the request was changed")
		}
		if v.Answered() {
			checkAnswer(t, x, payload, out, v)
		}
	})
}

// checkAnswer holds for every response.
func checkAnswer(t *testing.T, x *association, in, out []byte, v Verdict) {
	t.Helper()
	request, err := proto.ParsePacket(in)
	if err != nil || request.Mode != proto.ModeClient || request.Version != 3 && request.Version != 4 {
		t.Fatalf("%v: answered %x", v, in)
	}
	o, protected := x.open(t, out)
	if protected != (v == AcceptedNTS || v == DeniedNTS) {
		t.Fatalf("%v: protected %v", v, protected)
	}
	ids, placeholders := 0, 0
	for f := range request.All() {
		switch f.Type {
		case proto.FieldUniqueIdentifier:
			ids++
		case proto.FieldCookiePlaceholder:
			placeholders++
		case proto.FieldAuthenticator:
			if inner, err := aead.OpenField(nil, in, f, x.c2s); err == nil {
				for f := range proto.Inner(inner) {
					if f.Type == proto.FieldCookiePlaceholder {
						placeholders++
					}
				}
			}
		}
	}
	echoed := 0
	for _, kind := range o.authenticated {
		switch kind {
		case proto.FieldUniqueIdentifier:
			echoed++
		case proto.FieldAuthenticator:
		default:
			t.Fatalf("%v: field %#x in the clear", v, kind)
		}
	}
	if echoed != ids || ids > 1 {
		t.Fatalf("%v: %d unique identifiers answered with %d", v, ids, echoed)
	}
	if protected && (ids != 1 || len(o.cookies) < 1 || len(o.cookies) > min(1+placeholders, 8) || len(o.encrypted) != len(o.cookies)) {
		t.Fatalf("%v: %d cookies and %d fields for %d placeholders", v, len(o.cookies), len(o.encrypted), placeholders)
	}
	if _, again := respond(t, out, x.keys); again != WrongMode {
		t.Fatalf("%v is answered with %v", v, again)
	}
}
