package client

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

func fields(t *testing.T, request []byte) (all []proto.Field) {
	t.Helper()
	p, err := proto.ParsePacket(request)
	if err != nil {
		t.Fatal(err)
	}
	for f := range p.All() {
		all = append(all, f)
	}
	return all
}

func count(all []proto.Field, want proto.FieldType) (n int) {
	for _, f := range all {
		if f.Type == want {
			n++
		}
	}
	return n
}

// RFC 8915 section 5.7: a request has "Exactly one Unique Identifier", "Exactly
// one NTS Cookie" and "Exactly one NTS Authenticator" field, the first two not
// encrypted, and the last over all of the packet before it.
func TestProtectedRequest(t *testing.T) {
	b := newBench(t, true)
	issued := b.cookies(8)
	request := b.poll()
	all := fields(t, request)
	var order []proto.FieldType
	for _, f := range all {
		order = append(order, f.Type)
	}
	if want := []proto.FieldType{proto.FieldUniqueIdentifier, proto.FieldCookie, proto.FieldAuthenticator}; !slices.Equal(order, want) {
		t.Fatalf("fields %x, want %x", order, want)
	}
	if len(all[0].Value) < proto.MinUniqueIDLen {
		t.Errorf("unique identifier of %d octets", len(all[0].Value))
	}
	if !bytes.Equal(all[1].Value, issued[0]) {
		t.Error("the cookie is not the oldest that was issued")
	}
	plaintext, err := aead.OpenField(nil, request, all[2], b.keys(b.contents).C2S)
	if err != nil || len(plaintext) != 0 {
		t.Errorf("authenticator: %v, plaintext %x", err, plaintext)
	}
	// The server agrees.
	if b.a.Authentic() {
		t.Error("authentic before any reply")
	}
	if o := b.receive(b.answer()); o.Verdict != Accepted || b.a.Cookies() != 8 || !b.a.Authentic() {
		t.Errorf("reply: %v, %d cookies", o.Verdict, b.a.Cookies())
	}
}

// RFC 8915 section 5.3: unique identifiers are random, section 5.7: "the
// client SHOULD avoid reusing a cookie".
func TestNothingIsUsedTwice(t *testing.T) {
	b := newBench(t, true)
	seen := map[string]string{}
	for i := range 40 {
		request := b.poll()
		all := fields(t, request)
		nonce, _, _, err := proto.ParseAuthenticator(all[len(all)-1].Value)
		if err != nil {
			t.Fatal(err)
		}
		for what, v := range map[string][]byte{"unique identifier": all[0].Value, "cookie": all[1].Value, "nonce": nonce, "transmit field": request[40:48]} {
			if was := seen[string(v)]; was != "" {
				t.Fatalf("poll %d: %s was used before as %s", i, what, was)
			}
			seen[string(v)] = what
		}
		if i%3 != 0 {
			b.receive(b.answer())
		}
	}
}

// RFC 8915 section 5.7: "The number of NTS Cookie Placeholder extension fields
// that the client includes SHOULD be such that [...] the number of unused
// cookies stored by the client will come to eight", at most seven; section
// 5.5: each as long as the cookie, and zeros.
func TestPlaceholdersRefillTheJar(t *testing.T) {
	b := newBench(t, true)
	for lost := range 8 {
		request := b.poll()
		all := fields(t, request)
		if n := count(all, proto.FieldCookiePlaceholder); n != lost {
			t.Fatalf("%d placeholders after %d lost replies", n, lost)
		}
		for _, f := range all[2 : 2+lost] {
			if len(f.Value) != len(all[1].Value) || bytes.ContainsFunc(f.Value, func(r rune) bool { return r != 0 }) {
				t.Fatalf("placeholder %x", f.Value)
			}
		}
		if len(request) > 1232 {
			t.Errorf("request of %d octets does not fit the smallest IPv6 packet", len(request))
		}
	}
	if b.a.Cookies() != 0 {
		t.Fatalf("%d cookies left", b.a.Cookies())
	}
	if o := b.receive(b.answer()); o.Verdict != Accepted || b.a.Cookies() != 8 {
		t.Errorf("%v, %d cookies", o.Verdict, b.a.Cookies())
	}
}

func TestPlaceholdersFitThePacket(t *testing.T) {
	for _, size := range []int{1, 15, 16, 100, 101, 128, 256, 350, 512, 513, 1000, 1024} {
		b := newBench(t, true)
		b.a.Rekey(b.a.keys, [][]byte{bytes.Repeat([]byte{7}, size)})
		request := b.poll()
		n := count(fields(t, request), proto.FieldCookiePlaceholder)
		if len(request) > 1232 || n > 7 {
			t.Errorf("cookie of %d octets: request of %d with %d placeholders", size, len(request), n)
		}
		if room := 1024 / size; n != max(0, min(8, room)-1) {
			t.Errorf("cookie of %d octets: %d placeholders", size, n)
		}
	}
}

func TestCookiesOfImpossibleSize(t *testing.T) {
	b := newBench(t, true)
	b.a.Rekey(b.a.keys, [][]byte{nil, {}, make([]byte, maxCookieLen+1), make([]byte, 65535), {1}})
	if n := b.a.Cookies(); n != 1 {
		t.Errorf("%d cookies kept", n)
	}
	b.poll()
	inner := make([]byte, 0, 1<<11)
	for _, size := range []int{0, maxCookieLen + 4, 16} {
		inner, _ = proto.AppendField(inner, proto.FieldCookie, make([]byte, size), 0)
	}
	reply := b.seal(field(t, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID()), inner)
	if o := b.receive(reply); o.Verdict != Accepted || b.a.Cookies() != 1 {
		t.Errorf("%v, %d cookies kept", o.Verdict, b.a.Cookies())
	}
}

func TestTooManyCookies(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	var inner []byte
	for i := range 12 {
		inner, _ = proto.AppendField(inner, proto.FieldCookie, bytes.Repeat([]byte{byte(i)}, 64), 0)
	}
	b.receive(b.seal(field(t, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID()), inner))
	if n := b.a.Cookies(); n != cookie.JarSize {
		t.Errorf("%d cookies", n)
	}
}

// RFC 8915 section 5.7: "the client MUST verify that the Unique Identifier
// matches that of an outstanding request, and that the packet is authentic
// under the S2C key associated with that request. If either of these checks
// fails, the packet MUST be discarded without further processing. In
// particular, the client MUST discard unprotected responses to NTS-protected
// requests."
func TestProtectedReplyIsJudged(t *testing.T) {
	tests := []struct {
		name  string
		reply func(*bench) []byte
		want  Verdict
	}{
		{"good", func(b *bench) []byte { return b.sealed(nil) }, Accepted},
		{"plain", func(b *bench) []byte { return b.header(nil) }, BadUniqueID},
		{"plain with unique identifier", func(b *bench) []byte {
			return field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
		}, Unauthenticated},
		{"clear cookie", func(b *bench) []byte {
			p := field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
			return field(b.tb, p, proto.FieldCookie, b.cookies(1)[0])
		}, Unauthenticated},
		{"version 3", func(b *bench) []byte { return b.header(func(h *proto.Header) { h.Version = 3 }) }, WrongVersion},
		{"no unique identifier", func(b *bench) []byte { return b.seal(b.header(nil), nil) }, BadUniqueID},
		{"other unique identifier", func(b *bench) []byte {
			id := bytes.Clone(b.uniqueID())
			id[31] ^= 1
			return b.seal(field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, id), nil)
		}, BadUniqueID},
		{"short unique identifier", func(b *bench) []byte {
			return b.seal(field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID()[:28]), nil)
		}, BadUniqueID},
		{"two unique identifiers", func(b *bench) []byte {
			p := field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
			return b.seal(field(b.tb, p, proto.FieldUniqueIdentifier, b.uniqueID()), nil)
		}, BadUniqueID},
		{"unique identifier behind the authenticator", func(b *bench) []byte {
			return field(b.tb, b.seal(b.header(nil), nil), proto.FieldUniqueIdentifier, b.uniqueID())
		}, BadUniqueID},
		{"encrypted unique identifier", func(b *bench) []byte {
			return b.seal(b.header(nil), field(b.tb, nil, proto.FieldUniqueIdentifier, b.uniqueID()))
		}, BadUniqueID},
		{"client's own key", func(b *bench) []byte {
			p := field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
			p, _ = aead.AppendField(p, b.keys(b.contents).C2S, make([]byte, 16), nil)
			return p
		}, BadAuthenticator},
		{"another server's key", func(b *bench) []byte {
			other := b.contents
			other.S2C = key(1)
			p := field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
			p, _ = aead.AppendField(p, b.keys(other).S2C, make([]byte, 16), nil)
			return p
		}, BadAuthenticator},
		{"own request reflected", func(b *bench) []byte { return b.request }, WrongMode},
		{"own request made a reply", func(b *bench) []byte {
			p := bytes.Clone(b.request)
			p[0] = 4<<3 | 4
			copy(p[24:32], p[40:48])
			return p
		}, BadAuthenticator},
		{"crypto-NAK behind", func(b *bench) []byte { return append(b.sealed(nil), 0, 0, 0, 0) }, Malformed},
		{"origin of another request", func(b *bench) []byte { return b.sealed(func(h *proto.Header) { h.Origin++ }) }, BadOrigin},
		{"broken inside", func(b *bench) []byte {
			return b.seal(field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID()), []byte{2, 4, 0, 0, 1, 2, 3, 4})
		}, Malformed},
		{"longer than itself inside", func(b *bench) []byte {
			return b.seal(field(b.tb, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID()), []byte{2, 4, 0, 12, 1, 2, 3, 4})
		}, Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, true)
			b.poll()
			b.wait(2 * oneWay)
			before := b.state()
			o := b.receive(tt.reply(b))
			if o.Verdict != tt.want {
				t.Fatalf("verdict %v, want %v", o.Verdict, tt.want)
			}
			if tt.want == Accepted {
				return
			}
			if o.Measured || o.Closed || !reflect.DeepEqual(before, b.state()) {
				t.Error("a dropped packet changed something")
			}
			if o := b.receive(b.sealed(nil)); o.Verdict != Accepted || !o.Measured || b.a.Cookies() != 8 {
				t.Errorf("the true reply then gave %+v, %d cookies", o, b.a.Cookies())
			}
		})
	}
}

// Every bit of a protected reply is protected.
func TestEveryBitCounts(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	good := b.answer()
	before := b.state()
	for bit := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if o := b.receive(bad); o.Verdict == Accepted || !reflect.DeepEqual(before, b.state()) {
			t.Fatalf("octet %d bit %d: %v", bit/8, bit%8, o.Verdict)
		}
	}
	for n := range good {
		if o := b.receive(good[:n]); o.Verdict == Accepted || !reflect.DeepEqual(before, b.state()) {
			t.Fatalf("cut to %d octets: %v", n, o.Verdict)
		}
	}
	if o := b.receive(good); o.Verdict != Accepted {
		t.Errorf("untouched: %v", o.Verdict)
	}
}

// All lengths of nonce and ciphertext within and beyond the field.
func TestAuthenticatorLengths(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	good := b.answer()
	p, err := proto.ParsePacket(good)
	if err != nil {
		t.Fatal(err)
	}
	var auth proto.Field
	for f := range p.All() {
		auth = f
	}
	before := b.state()
	size := len(auth.Value)
	lengths := []int{0, 1, 15, 16, 17, size - 8, size - 4, size, size + 4, 0x7fff, 0xffff}
	for _, nonce := range lengths {
		for _, text := range lengths {
			bad := bytes.Clone(good)
			binary.BigEndian.PutUint16(bad[auth.Offset+4:], uint16(nonce))
			binary.BigEndian.PutUint16(bad[auth.Offset+6:], uint16(text))
			if bytes.Equal(bad, good) {
				continue
			}
			if o := b.receive(bad); o.Verdict != BadAuthenticator || !reflect.DeepEqual(before, b.state()) {
				t.Fatalf("nonce %d, ciphertext %d: %v", nonce, text, o.Verdict)
			}
		}
	}
}

// RFC 8915 section 5.7: "The client MUST discard any unauthenticated extension
// fields."
func TestFieldsBehindTheAuthenticatorAreDiscarded(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	reply := field(t, b.sealed(nil), proto.FieldCookie, bytes.Repeat([]byte{0xee}, 64))
	reply = field(t, reply, proto.FieldUniqueIdentifier, make([]byte, 32))
	if o := b.receive(reply); o.Verdict != Accepted {
		t.Fatalf("verdict %v", o.Verdict)
	}
	for _, c := range b.a.jar.All() {
		if c[0] == 0xee {
			t.Error("a cookie that was not encrypted was kept")
		}
	}
}

// RFC 8915 section 5.7: cookies "MUST be encrypted when sent from server to
// client"; one in the clear is not kept even in an authentic packet.
func TestClearCookieOfAnAuthenticReply(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	p := field(t, b.header(nil), proto.FieldUniqueIdentifier, b.uniqueID())
	p = field(t, p, proto.FieldCookie, bytes.Repeat([]byte{0xee}, 64))
	if o := b.receive(b.seal(p, nil)); o.Verdict != Accepted || b.a.Cookies() != 7 {
		t.Errorf("%v, %d cookies", o.Verdict, b.a.Cookies())
	}
}

// An authentic packet is the reply even when its time is nonsense: its cookies
// are kept once, and its replay finds nothing.
func TestAuthenticNonsense(t *testing.T) {
	b := newBench(t, true)
	b.poll()
	reply := b.sealed(func(h *proto.Header) { h.Transmit = 0 })
	if o := b.receive(reply); o.Verdict != BadTimes || o.Measured || !o.Closed || b.a.Cookies() != 8 || b.a.Reach() != 0 {
		t.Errorf("%+v, %d cookies, reach %b", o, b.a.Cookies(), b.a.Reach())
	}
	if o := b.receive(reply); o.Verdict != Unsolicited || b.a.Cookies() != 8 {
		t.Errorf("replay: %+v", o)
	}
}

// nak is the answer of a server that does not know the cookie.
func (b *bench) nak() []byte {
	return field(b.tb, b.header(kiss("NTSN")), proto.FieldUniqueIdentifier, b.uniqueID())
}

// RFC 8915 section 5.7: "the client MUST verify that any KoD packets received
// from the server contain the Unique Identifier extension field and that the
// Unique Identifier matches that of an outstanding request. If this check
// fails, the packet MUST be discarded without further processing." Here from
// the first packet on; and only a NAK may come unprotected.
func TestUnprotectedKisses(t *testing.T) {
	for _, code := range []string{"DENY", "RSTR", "RATE", "NTSN", "XFUN"} {
		for _, warm := range []bool{false, true} {
			b := newBench(t, true)
			if warm {
				b.round()
			}
			b.poll()
			before := b.state()
			other := bytes.Clone(b.uniqueID())
			other[0]++
			packets := [][]byte{
				b.header(kiss(code)),
				field(t, b.header(kiss(code)), proto.FieldUniqueIdentifier, other),
				field(t, b.header(func(h *proto.Header) { kiss(code)(h); h.Origin = 0 }), proto.FieldUniqueIdentifier, b.uniqueID()),
				append(b.nak(), 0, 0, 0, 0), // with a crypto-NAK
			}
			if code != "NTSN" {
				packets = append(packets, field(t, b.header(kiss(code)), proto.FieldUniqueIdentifier, b.uniqueID()))
			}
			for i, p := range packets {
				if o := b.receive(p); o.Verdict >= KissDeny || !reflect.DeepEqual(before, b.state()) {
					t.Errorf("%s, packet %d: %v", code, i, o.Verdict)
				}
			}
			if o := b.end(); o.Slowed || b.a.Demobilised() || b.a.NeedsKeys() {
				t.Errorf("%s: believed", code)
			}
		}
	}
}

// An authentic kiss acts at once: the server said it.
func TestAuthenticKisses(t *testing.T) {
	b := newBench(t, true)
	b.round()
	b.poll()
	if o := b.receive(b.sealed(kiss("DENY"))); o.Verdict != KissDeny || !o.Closed || !b.a.Demobilised() {
		t.Errorf("DENY gave %+v", o)
	}
	b = newBench(t, true)
	b.round()
	b.poll()
	if o := b.receive(b.sealed(kiss("RATE"))); o.Verdict != KissRate || !o.Closed || !o.Slowed || b.a.Poll() != 5 {
		t.Errorf("RATE gave %+v, exponent %d", o, b.a.Poll())
	}
	// "It MUST NOT include any NTS Cookie or NTS Authenticator and Encrypted
	// Extension Fields extension fields": a NAK that does is none.
	b = newBench(t, true)
	b.poll()
	if o := b.receive(b.sealed(kiss("NTSN"))); o.Verdict != KissOther || b.a.NeedsKeys() {
		t.Errorf("NTSN gave %+v", o)
	}
}

func TestCookiesRunOut(t *testing.T) {
	b := newBench(t, true)
	for range 8 {
		if b.a.NeedsKeys() {
			t.Fatal("asks for keys while it has cookies")
		}
		b.poll()
	}
	if b.a.NeedsKeys() {
		t.Error("asks for keys while the last cookie may bring more")
	}
	b.end()
	if !b.a.NeedsKeys() {
		t.Error("has no cookies and asks for no keys")
	}
	// No cookie, no request: never one without protection.
	for range 5 {
		b.mono = max(b.mono, b.a.Deadline())
		if o := b.advance(); o.Request != nil {
			t.Fatalf("sent %x", o.Request)
		}
	}
	if !b.a.Unreachable() {
		t.Error("polls that could not be sent count as answered")
	}
	b.a.Rekey(b.keys(b.contents), b.cookies(8))
	if b.a.NeedsKeys() {
		t.Error("has new keys and asks for more")
	}
	b.round()
}

// RFC 8915 section 5.7: "If the NTS-KE handshake succeeds, the client MUST
// discard all old cookies and parameters and use the new ones instead."
func TestRekeyDiscardsTheOld(t *testing.T) {
	b := newBench(t, true)
	b.round()
	b.poll()
	old, nak := b.answer(), b.nak()
	b.receive(nak)
	fresh := b.contents
	fresh.C2S, fresh.S2C = key(1), key(2)
	b.a.Rekey(b.keys(fresh), [][]byte{bytes.Repeat([]byte{9}, 100)})
	if b.a.Authentic() || b.a.Cookies() != 1 {
		t.Errorf("authentic %v, %d cookies", b.a.Authentic(), b.a.Cookies())
	}
	for _, p := range [][]byte{old, nak} {
		if o := b.receive(p); o.Verdict != BadOrigin {
			t.Errorf("packet under the old keys: %v", o.Verdict)
		}
	}
	if b.a.NeedsKeys() {
		t.Error("asks for keys because of a NAK to the old ones")
	}
	request := b.poll()
	all := fields(t, request)
	if b.a.NeedsKeys() {
		t.Error("asks for keys because of a NAK to the old ones")
	}
	if !bytes.Equal(all[1].Value, bytes.Repeat([]byte{9}, 100)) {
		t.Error("sent an old cookie")
	}
	if _, err := aead.OpenField(nil, request, all[len(all)-1], b.keys(fresh).C2S); err != nil {
		t.Errorf("request is not under the new key: %v", err)
	}
}

// A cookie that was set aside is never sent, and what is kept back stays.
func TestACookieSetAsideIsNotSent(t *testing.T) {
	b := newBench(t, true)
	var aside [][]byte
	for range 9 {
		if c, ok := b.a.SetAside(3); ok {
			aside = append(aside, c)
		}
	}
	if len(aside) != 5 || b.a.Cookies() != 3 {
		t.Fatalf("%d cookies set aside, %d left of 8", len(aside), b.a.Cookies())
	}
	sent := b.a.jar.All()
	for i, c := range aside {
		for _, other := range append(sent, aside[:i]...) {
			if bytes.Equal(c, other) {
				t.Errorf("cookie %d that was set aside is there a second time", i)
			}
		}
	}
}
