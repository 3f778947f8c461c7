package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

var algorithms = []aead.Algorithm{aead.AESSIVCMAC256, aead.AESSIVCMAC512}

// TestProtectedResponse is RFC 8915 section 5.7: "Exactly one Unique Identifier
// extension field that MUST be authenticated, MUST NOT be encrypted ... Exactly
// one NTS Authenticator and Encrypted Extension Fields extension field ... One
// or more NTS Cookie extension fields that MUST be authenticated and
// encrypted".
func TestProtectedResponse(t *testing.T) {
	for _, a := range algorithms {
		x := associate(t, a)
		request := x.request(t, 2)
		out, v := respond(t, request, x.keys)
		o, ok := x.open(t, out)
		if v != AcceptedNTS || !ok {
			t.Fatalf("%v: %v", a, v)
		}
		if got := fmt.Sprintf("%#x %#x", o.authenticated, o.encrypted); got != "[0x104 0x404] [0x204 0x204 0x204]" {
			t.Errorf("%v: fields %s", a, got)
		}
		plain, _ := respond(t, request[:proto.HeaderLen], nil)
		if !bytes.Equal(plain, out[:proto.HeaderLen]) {
			t.Errorf("%v: header differs from that of a plain response", a)
		}
		if len(out) != len(request) {
			t.Errorf("%v: %d octets answer %d", a, len(out), len(request))
		}
	}
}

// TestNewCookiesWork: "The cookies returned in those fields MUST be valid for
// use with the NTP server that sent them" (RFC 8915 section 5.7), differ, and
// do not show the keys.
func TestNewCookiesWork(t *testing.T) {
	for _, a := range algorithms {
		x := associate(t, a)
		contents, err := x.keys.Open(x.cookie)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := respond(t, x.request(t, 7), x.keys)
		o, _ := x.open(t, out)
		seen := map[string]bool{string(x.cookie): true}
		for _, c := range o.cookies {
			if seen[string(c)] {
				t.Errorf("%v: the same cookie twice", a)
			}
			seen[string(c)] = true
			for _, key := range [][]byte{contents.S2C, contents.C2S} {
				if bytes.Contains(c, key) || bytes.Contains(out, key) {
					t.Errorf("%v: a key shows", a)
				}
			}
			x.cookie = c
			if _, v := respond(t, x.request(t, 0), x.keys); v != AcceptedNTS {
				t.Errorf("%v: a new cookie was answered with %v", a, v)
			}
		}
		if len(o.cookies) != 8 {
			t.Errorf("%v: %d cookies", a, len(o.cookies))
		}
	}
}

// TestCookieAfterRotation: a response to a cookie under a stale key brings
// cookies under the newest, and a forgotten key means NTSN.
func TestCookieAfterRotation(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	next, err := x.keys.Rotate(seeded(9), 1)
	if err != nil {
		t.Fatal(err)
	}
	out, v := respond(t, x.request(t, 0), next)
	if v != AcceptedNTS {
		t.Fatal(v)
	}
	o, _ := x.open(t, out)
	if _, err := x.keys.Open(o.cookies[0]); err == nil {
		t.Error("the new cookie is under the old key")
	}
	gone, err := next.Rotate(seeded(10), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, v := respond(t, x.request(t, 0), gone); v != NAKed {
		t.Errorf("cookie of a forgotten key: %v", v)
	}
	x.cookie = o.cookies[0]
	if _, v := respond(t, x.request(t, 0), gone); v != AcceptedNTS {
		t.Errorf("cookie of a stale key: %v", v)
	}
}

// TestCookiesPerPlaceholder: "The number of NTS Cookie extension fields
// included SHOULD be equal to, and MUST NOT exceed, one plus the number of
// valid NTS Cookie Placeholder extension fields included in the request" (RFC
// 8915 section 5.7), and never more than eight.
func TestCookiesPerPlaceholder(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	n := len(x.cookie)
	for count := range 64 {
		out, v := respond(t, x.request(t, count), x.keys)
		if o, _ := x.open(t, out); v != AcceptedNTS || len(o.cookies) != min(1+count, 8) {
			t.Errorf("%d placeholders: %v, %d cookies", count, v, len(o.cookies))
		}
	}
	place := func(n int) []byte { return field(nil, proto.FieldCookiePlaceholder, make([]byte, n)) }
	ck := field(nil, proto.FieldCookie, x.cookie)
	noise := field(nil, proto.FieldCookiePlaceholder, bytes.Repeat([]byte{0x55}, n))
	for _, test := range []struct {
		name          string
		clear, hidden [][]byte
		want          int
	}{
		{"hidden", [][]byte{ck}, [][]byte{place(n), place(n)}, 3},
		{"some hidden", [][]byte{ck, place(n)}, [][]byte{place(n)}, 3},
		{"in front of the cookie", [][]byte{place(n), ck}, nil, 2},
		{"contents are ignored", [][]byte{ck, noise}, [][]byte{noise}, 3},
		{"too short", [][]byte{ck, place(n - 4)}, [][]byte{place(n - 4), place(0)}, 1},
		{"too long", [][]byte{ck, place(n + 4)}, [][]byte{place(n + 4)}, 1},
		{"many hidden", [][]byte{ck}, [][]byte{bytes.Repeat(place(n), 40)}, 8},
		{"unknown fields", [][]byte{ck, field(nil, 0x4242, make([]byte, n))}, [][]byte{field(nil, 0x4242, make([]byte, n))}, 1},
	} {
		b := field(plain(4), proto.FieldUniqueIdentifier, uid(32))
		b = append(b, bytes.Join(test.clear, nil)...)
		out, v := respond(t, x.seal(t, b, bytes.Join(test.hidden, nil)), x.keys)
		if o, _ := x.open(t, out); v != AcceptedNTS || len(o.cookies) != test.want {
			t.Errorf("%s: %v, %d cookies, want %d", test.name, v, len(o.cookies), test.want)
		}
	}
}

// TestPaddedCookie: a cookie that came with more room than it needs is answered
// with one that leaves the room unused.
func TestPaddedCookie(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	x.cookie = append(x.cookie, make([]byte, 12)...)
	out, v := respond(t, x.request(t, 1), x.keys)
	if o, _ := x.open(t, out); v != AcceptedNTS || len(o.cookies) != 2 || len(o.cookies[0]) != len(x.cookie)-12 {
		t.Errorf("%v, %d cookies", v, len(o.cookies))
	}
}

// TestExactlyOne: "A client sending an NTS-protected request SHALL include ...
// Exactly one Unique Identifier ... Exactly one NTS Cookie ... Exactly one NTS
// Authenticator", the first two authenticated and not encrypted (RFC 8915
// section 5.7).
func TestExactlyOne(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	id := field(nil, proto.FieldUniqueIdentifier, uid(32))
	ck := field(nil, proto.FieldCookie, x.cookie)
	unknown := field(nil, 0x4242, make([]byte, 12))
	place := field(nil, proto.FieldCookiePlaceholder, make([]byte, len(x.cookie)))
	auth := x.seal(t, append(append(plain(4), id...), ck...), nil)[proto.HeaderLen+len(id)+len(ck):]
	for _, test := range []struct {
		name                  string
		clear, hidden, behind [][]byte
		want                  Verdict
	}{
		{"as it should be", [][]byte{id, ck}, nil, nil, AcceptedNTS},
		{"other order", [][]byte{ck, id}, nil, nil, AcceptedNTS},
		{"no unique identifier", [][]byte{ck}, nil, nil, Malformed},
		{"two unique identifiers", [][]byte{id, id, ck}, nil, nil, Malformed},
		{"short unique identifier", [][]byte{field(nil, proto.FieldUniqueIdentifier, uid(28)), ck}, nil, nil, Malformed},
		{"encrypted unique identifier", [][]byte{ck}, [][]byte{id}, nil, Malformed},
		{"one encrypted unique identifier too many", [][]byte{id, ck}, [][]byte{id}, nil, Malformed},
		{"unauthenticated unique identifier", [][]byte{ck}, nil, [][]byte{id}, Malformed},
		{"one unauthenticated unique identifier too many", [][]byte{id, ck}, nil, [][]byte{id}, Malformed},
		{"no cookie", [][]byte{id}, nil, nil, Malformed},
		{"two cookies", [][]byte{id, ck, ck}, nil, nil, Malformed},
		{"encrypted cookie", [][]byte{id}, [][]byte{ck}, nil, Malformed},
		{"one encrypted cookie too many", [][]byte{id, ck}, [][]byte{ck}, nil, Malformed},
		{"unauthenticated cookie", [][]byte{id}, nil, [][]byte{ck}, Malformed},
		{"one unauthenticated cookie too many", [][]byte{id, ck}, nil, [][]byte{ck}, Malformed},
		{"unauthenticated placeholder", [][]byte{id, ck}, nil, [][]byte{place}, Malformed},
		{"two authenticators", [][]byte{id, ck}, nil, [][]byte{auth}, Malformed},
		{"encrypted authenticator", [][]byte{id, ck}, [][]byte{auth}, nil, Malformed},
		{"unauthenticated unknown field", [][]byte{id, ck}, nil, [][]byte{unknown}, AcceptedNTS},
		{"encrypted unknown fields", [][]byte{id, ck}, [][]byte{unknown, unknown[:0], {0x42, 0x42, 0, 4}}, nil, AcceptedNTS},
		{"encrypted field of length 0", [][]byte{id, ck}, [][]byte{{0x42, 0x42, 0, 0}}, nil, Malformed},
		{"encrypted field of length 3", [][]byte{id, ck}, [][]byte{{0x42, 0x42, 0, 3}}, nil, Malformed},
		{"encrypted field beyond the end", [][]byte{id, ck}, [][]byte{{0x42, 0x42, 0, 8}}, nil, Malformed},
		{"encrypted octets that are no field", [][]byte{id, ck}, [][]byte{{1, 2}}, nil, Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := append(plain(4), bytes.Join(test.clear, nil)...)
			b = x.seal(t, b, bytes.Join(test.hidden, nil))
			b = append(b, bytes.Join(test.behind, nil)...)
			out, v := respond(t, b, x.keys)
			if v != test.want {
				t.Fatalf("%v, want %v", v, test.want)
			}
			if !v.Answered() {
				return
			}
			if o, ok := x.open(t, out); !ok || len(o.cookies) != 1 {
				t.Errorf("%d octets with %d cookies", len(out), len(o.cookies))
			}
		})
	}
}

// What is sealed is whole fields from its first octet to its last, and no other
// authenticator, or the request is malformed, whoever sealed it.
func TestWhatIsSealedIsFields(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	clear := append(field(plain(4), proto.FieldUniqueIdentifier, uid(32)), field(nil, proto.FieldCookie, x.cookie)...)
	rapid.Check(t, func(r *rapid.T) {
		sealed := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 4, 8, 12, 0x42, 3}), 0, 20).Draw(r, "sealed")
		whole, rest := true, sealed
		for whole && len(rest) > 0 {
			n := 0
			if len(rest) >= 4 {
				n = int(rest[2])<<8 | int(rest[3])
			}
			whole = n >= 4 && n%4 == 0 && n <= len(rest) && proto.FieldType(int(rest[0])<<8|int(rest[1])) != proto.FieldAuthenticator
			if whole {
				rest = rest[n:]
			}
		}
		want := Malformed
		if whole {
			want = AcceptedNTS
		}
		if _, v := respond(t, x.seal(t, bytes.Clone(clear), sealed), x.keys); v != want {
			r.Errorf("%x: %v, want %v", sealed, v, want)
		}
	})
}

// TestNAK: "If the server is unable to validate the cookie or authenticate the
// request, it SHOULD respond with a Kiss-o'-Death (KoD) packet with kiss code
// "NTSN" ... It MUST NOT include any NTS Cookie or NTS Authenticator and
// Encrypted Extension Fields extension fields" (RFC 8915 section 5.7).
func TestNAK(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	other := associate(t, aead.AESSIVCMAC256)
	var err error
	if other.keys, err = cookie.NewKeyset(seeded(99)); err != nil {
		t.Fatal(err)
	}
	nak := func(name string, payload []byte, k *cookie.Keyset) {
		t.Helper()
		out, v := respond(t, payload, k)
		if v != NAKed {
			t.Errorf("%s: %v", name, v)
			return
		}
		p, err := proto.ParsePacket(out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if code, kiss := p.Kiss(); !kiss || code != proto.KissNTSN {
			t.Errorf("%s: stratum %d, code %v", name, p.Stratum, code)
		}
		if want := field(nil, proto.FieldUniqueIdentifier, uid(32)); !bytes.Equal(p.Fields, want) {
			t.Errorf("%s: fields %x", name, p.Fields)
		}
	}
	nak("another server's cookie", x.request(t, 0), other.keys)
	swapped := associate(t, aead.AESSIVCMAC256)
	swapped.c2s, swapped.s2c = x.s2c, x.c2s
	nak("authenticated by the other key", swapped.request(t, 0), x.keys)

	// Every octet of the cookie, and every length of it.
	good := bytes.Clone(x.cookie)
	for i := range good {
		x.cookie = bytes.Clone(good)
		x.cookie[i] ^= 0x10
		nak(fmt.Sprintf("octet %d of the cookie", i), x.request(t, 0), x.keys)
	}
	for n := 12; n < len(good); n += 4 {
		x.cookie = good[:n]
		nak(fmt.Sprintf("%d octets of the cookie", n), x.request(t, 0), x.keys)
	}
	x.cookie = make([]byte, 400)
	nak("a long cookie", x.request(t, 3), x.keys)
	x.cookie = good

	// A ciphertext without room for a tag.
	for n := range 16 {
		b := append(plain(4), field(nil, proto.FieldUniqueIdentifier, uid(32))...)
		b, err := proto.AppendAuthenticator(field(b, proto.FieldCookie, good), uid(16), make([]byte, n), 0)
		if err != nil {
			t.Fatal(err)
		}
		nak(fmt.Sprintf("ciphertext of %d octets", n), b, x.keys)
	}
}

// TestEveryBitIsAuthenticated: no bit of a request can be changed without the
// answer being NTSN, or none.
func TestEveryBitIsAuthenticated(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	request := x.request(t, 1)
	for i := range len(request) * 8 {
		b := bytes.Clone(request)
		b[i/8] ^= 0x80 >> (i % 8)
		if _, v := respond(t, b, x.keys); v == AcceptedNTS || v == DeniedNTS {
			t.Errorf("bit %d of octet %d does not matter", i%8, i/8)
		}
	}
	for n := range len(request) {
		if _, v := respond(t, request[:n], x.keys); v == AcceptedNTS || v == DeniedNTS {
			t.Errorf("%d octets are enough", n)
		}
	}
}

// TestAuthenticatorLengths: no lengths of nonce and ciphertext reach beyond
// their field.
func TestAuthenticatorLengths(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	good := x.request(t, 0)
	at := len(good) - 4 - 16 - 16
	lengths := []int{0, 1, 3, 4, 15, 16, 17, 20, 24, 28, 31, 32, 33, 36, 40, 0x7fff, 0x8000, 0xfffc, 0xffff}
	for _, nonce := range lengths {
		for _, text := range lengths {
			b := bytes.Clone(good)
			b[at], b[at+1], b[at+2], b[at+3] = byte(nonce>>8), byte(nonce), byte(text>>8), byte(text)
			want := NAKed
			pad := func(n int) int { return (n + 3) &^ 3 }
			left := 32 - pad(nonce) - pad(text)
			switch {
			case left < 0, left < 16-pad(nonce):
				want = Malformed
			case nonce == 16 && text == 16:
				want = AcceptedNTS
			}
			if _, v := respond(t, b, x.keys); v != want {
				t.Errorf("nonce %d, ciphertext %d: %v, want %v", nonce, text, v, want)
			}
		}
	}
}

// TestAdditionalPadding: "the Additional Padding field SHALL be at least N_REQ -
// N_LEN octets in length. Servers MUST enforce this requirement by discarding
// any packet that does not conform to it" (RFC 8915 section 5.6).
func TestAdditionalPadding(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	for _, test := range []struct {
		nonce, extra int
		want         Verdict
	}{
		{16, 0, AcceptedNTS}, {12, 4, AcceptedNTS}, {12, 0, Malformed}, {9, 4, AcceptedNTS}, {8, 8, AcceptedNTS},
		{8, 4, Malformed}, {1, 12, AcceptedNTS}, {1, 8, Malformed}, {20, 0, AcceptedNTS}, {16, 64, AcceptedNTS},
	} {
		b := append(plain(4), field(nil, proto.FieldUniqueIdentifier, uid(32))...)
		b = field(b, proto.FieldCookie, x.cookie)
		sealed, err := x.c2s.Seal(nil, uid(test.nonce), nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = proto.AppendAuthenticator(b, uid(test.nonce), sealed, test.extra); err != nil {
			t.Fatal(err)
		}
		if _, v := respond(t, b, x.keys); v != test.want {
			t.Errorf("nonce of %d octets with %d of padding: %v, want %v", test.nonce, test.extra, v, test.want)
		}
	}
}

// TestDenyIsAuthenticated: whoever proves to be an association is told so.
func TestDenyIsAuthenticated(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC512)
	cfg := Config{Versions: Version3And4, Access: new(AccessList)}
	cfg.Access.allowAction = Deny
	out, v := respondAs(t, cfg, "192.0.2.9", x.request(t, 1), x.keys)
	o, ok := x.open(t, out)
	if code, kiss := o.Kiss(); v != DeniedNTS || !ok || !kiss || code != proto.KissDeny || len(o.cookies) != 2 {
		t.Errorf("%v %+v", v, o)
	}
}

// TestNoNTS: without keys, in version 3 and in other modes there is no NTS.
func TestNoNTS(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	if _, v := respond(t, x.request(t, 0), nil); v != NoKeys {
		t.Errorf("without keys: %v", v)
	}
	v3 := x.request(t, 0)
	v3[0] = v3[0]&^0x38 | 3<<3
	if _, v := respond(t, v3, x.keys); v != Malformed {
		t.Errorf("version 3: %v", v)
	}
	server := x.request(t, 0)
	server[0] = server[0]&^7 | byte(proto.ModeServer)
	if _, v := respond(t, server, x.keys); v != WrongMode {
		t.Errorf("mode 4: %v", v)
	}
}

// TestNoEntropy: without fresh nonces there is no protected response.
func TestNoEntropy(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	for _, entropy := range []io.Reader{iotest.ErrReader(errors.New("none")), bytes.NewReader(make([]byte, 31))} {
		r := New(Config{Versions: Version3And4}, entropy)
		if out, v := r.Respond(nil, from("192.0.2.9", x.request(t, 0)), synchronised(), x.keys, transmitAt(txTime)); v != Failed || len(out) != 0 {
			t.Errorf("%v with %d octets", v, len(out))
		}
	}
}

// TestNoncesAreFresh: no two nonces of a response or of two are alike.
func TestNoncesAreFresh(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	r := New(Config{Versions: Version3And4}, seeded(5))
	seen := map[string]bool{}
	for range 4 {
		out, _ := r.Respond(nil, from("192.0.2.9", x.request(t, 7)), synchronised(), x.keys, transmitAt(txTime))
		o, _ := x.open(t, out)
		nonces := [][]byte{}
		for _, c := range o.cookies {
			nonces = append(nonces, c[6:22])
		}
		p, _ := proto.ParsePacket(out)
		for f := range p.All() {
			if f.Type == proto.FieldAuthenticator {
				nonce, _, _, _ := proto.ParseAuthenticator(f.Value)
				nonces = append(nonces, nonce)
			}
		}
		if len(nonces) != 9 {
			t.Fatalf("%d nonces", len(nonces))
		}
		for _, n := range nonces {
			if len(n) != 16 || seen[string(n)] {
				t.Errorf("nonce %x", n)
			}
			seen[string(n)] = true
		}
	}
}
