package server

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// fullConfig has everything that costs time: lists, a limit that is not
// reached, and keys.
func fullConfig(t testing.TB) Config {
	return Config{
		Versions: Version3And4,
		Access:   access(t, Rule{prefixes(t, "198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/48"), Deny}, Everyone()),
		Limiter:  limiter(t, 1<<16, time.Nanosecond),
	}
}

// TestPlainResponsesDoNotAllocate, nor do the other answers and drops of
// requests without NTS.
func TestPlainResponsesDoNotAllocate(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	id := field(plain(4), proto.FieldUniqueIdentifier, uid(32))
	mode := plain(4)
	mode[0] = mode[0]&^7 | byte(proto.ModeControl)
	denied := fullConfig(t)
	denied.RequireNTS = NTSOrDeny
	for _, test := range []struct {
		name    string
		cfg     Config
		payload []byte
		want    Verdict
	}{
		{"version 4", fullConfig(t), plain(4), Accepted},
		{"version 3", fullConfig(t), plain(3), Accepted},
		{"unique identifier", fullConfig(t), id, Accepted},
		{"unknown field", fullConfig(t), field(plain(4), 0x4242, make([]byte, 28)), Accepted},
		{"denied", denied, plain(4), Denied},
		{"wrong mode", fullConfig(t), mode, WrongMode},
		{"short", fullConfig(t), plain(4)[:20], Malformed},
	} {
		r := New(test.cfg, seeded(1))
		dst, s, q := make([]byte, 0, 2048), synchronised(), from("192.0.2.9", test.payload)
		now := transmitAt(txTime)
		n := testing.AllocsPerRun(1000, func() {
			q.Mono += 1e6
			if _, v := r.Respond(dst, q, s, x.keys, now); v != test.want {
				t.Fatalf("%s: %v", test.name, v)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

// TestProtectedResponsesDoNotAllocate, beyond what setting the client's two keys
// takes: nothing, where package aead has an AES of its own.
func TestProtectedResponsesDoNotAllocate(t *testing.T) {
	for _, a := range []aead.Algorithm{aead.AESSIVCMAC256, aead.AESSIVCMAC512} {
		var l aead.Local
		secret := make([]byte, a.KeyLen())
		key := testing.AllocsPerRun(100, func() {
			if l.Set(a, secret) != nil {
				t.Fatal("no key")
			}
		})
		x, forged, damaged := associate(t, a), associate(t, a), associate(t, a)
		forged.cookie[len(forged.cookie)-1] ^= 1
		tampered := damaged.request(t, 0)
		tampered[len(tampered)-1] ^= 1
		denied := fullConfig(t)
		denied.Access = access(t, Rule{prefixes(t, "0.0.0.0/0"), Deny}, Everyone())
		place := field(nil, proto.FieldCookiePlaceholder, make([]byte, len(x.cookie)))
		for _, test := range []struct {
			name    string
			cfg     Config
			payload []byte
			want    Verdict
			keys    float64 // that are set
		}{
			{"one cookie", fullConfig(t), x.request(t, 0), AcceptedNTS, 2},
			{"eight cookies", fullConfig(t), x.request(t, 7), AcceptedNTS, 2},
			{"placeholder inside", fullConfig(t), x.seal(t, field(field(plain(4), proto.FieldUniqueIdentifier, uid(32)), proto.FieldCookie, x.cookie), place), AcceptedNTS, 2},
			{"denied", denied, x.request(t, 0), DeniedNTS, 2},
			{"forged cookie", fullConfig(t), forged.request(t, 0), NAKed, 0},
			{"tampered request", fullConfig(t), tampered, NAKed, 1},
		} {
			r := New(test.cfg, seeded(1))
			dst, s, q := make([]byte, 0, 2048), synchronised(), from("192.0.2.9", test.payload)
			now := transmitAt(txTime)
			n := testing.AllocsPerRun(200, func() {
				q.Mono += 1e6
				if _, v := r.Respond(dst, q, s, x.keys, now); v != test.want {
					t.Fatalf("%v, %s: %v", a, test.name, v)
				}
			})
			if n != test.keys*key {
				t.Errorf("%v, %s: %v allocations, want %v", a, test.name, n, test.keys*key)
			}
		}
	}
}

func benchmark(b *testing.B, payload func(x *association) []byte, want Verdict) {
	x := associate(b, aead.AESSIVCMAC256)
	r := New(fullConfig(b), rand.Reader)
	dst, s, q := make([]byte, 0, 2048), synchronised(), from("192.0.2.9", payload(x))
	now := transmitAt(txTime)
	b.ReportAllocs()
	for b.Loop() {
		q.Mono += 1e6
		if _, v := r.Respond(dst, q, s, x.keys, now); v != want {
			b.Fatal(v)
		}
	}
}

func BenchmarkRespondPlain(b *testing.B) {
	benchmark(b, func(*association) []byte { return plain(4) }, Accepted)
}

func BenchmarkRespondUniqueIdentifier(b *testing.B) {
	benchmark(b, func(*association) []byte { return field(plain(4), proto.FieldUniqueIdentifier, uid(32)) }, Accepted)
}

func BenchmarkRespondNTS(b *testing.B) {
	benchmark(b, func(x *association) []byte { return x.request(b, 0) }, AcceptedNTS)
}

func BenchmarkRespondNTSEightCookies(b *testing.B) {
	benchmark(b, func(x *association) []byte { return x.request(b, 7) }, AcceptedNTS)
}

func BenchmarkRespondNAK(b *testing.B) {
	benchmark(b, func(x *association) []byte {
		x.cookie[30] ^= 1
		return x.request(b, 0)
	}, NAKed)
}
