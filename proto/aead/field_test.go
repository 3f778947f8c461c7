package aead

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// header is a packet of a mode with one authenticated field.
func header(t testing.TB, mode proto.Mode) []byte {
	t.Helper()
	h := proto.Header{Version: 4, Mode: mode, Transmit: 0x0123456789abcdef}
	b, err := proto.AppendField(h.Append(nil), proto.FieldUniqueIdentifier, bytes.Repeat([]byte{9}, 32), proto.MinFieldLen)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// authenticator returns the authenticator field of a packet.
func authenticator(t testing.TB, packet []byte) proto.Field {
	t.Helper()
	p, err := proto.ParsePacket(packet)
	if err != nil {
		t.Fatal(err)
	}
	for f := range p.All() {
		if f.Type == proto.FieldAuthenticator {
			return f
		}
	}
	t.Fatal("no authenticator")
	return proto.Field{}
}

// "A: The associated data SHALL consist of the portion of the NTP packet
// beginning from the start of the NTP header and ending at the end of the last
// extension field that precedes the NTS Authenticator and Encrypted Extension
// Fields extension field" (RFC 8915 section 5.6).
func TestAssociatedDataIsThePacketBeforeTheField(t *testing.T) {
	for _, a := range algorithms {
		c, nonce := mustNew(t, a, key(a)), bytes.Repeat([]byte{3}, 16)
		for _, mode := range []proto.Mode{proto.ModeClient, proto.ModeServer} {
			before := header(t, mode)
			packet, err := AppendField(slices.Clone(before), c, nonce, []byte{1, 2, 0, 4})
			if err != nil {
				t.Fatal(err)
			}
			f := authenticator(t, packet)
			gotNonce, ciphertext, padding, err := proto.ParseAuthenticator(f.Value)
			want := sivSeal(key(a), []byte{1, 2, 0, 4}, before, nonce)
			if err != nil || !bytes.Equal(gotNonce, nonce) || !bytes.Equal(ciphertext, want) || padding != 0 {
				t.Errorf("%v, mode %d: nonce %x, ciphertext %x, padding %d, %v", a, mode, gotNonce, ciphertext, padding, err)
			}
			if opened, err := OpenField(nil, packet, f, c); err != nil || !bytes.Equal(opened, []byte{1, 2, 0, 4}) {
				t.Errorf("%v, mode %d: opened %x, %v", a, mode, opened, err)
			}
			for i := range 8 * f.Offset {
				packet[i/8] ^= 1 << (i % 8)
				if _, err := OpenField(nil, packet, f, c); err == nil {
					t.Errorf("%v, mode %d: bit %d of the packet is not authenticated", a, mode, i)
				}
				packet[i/8] ^= 1 << (i % 8)
			}
			// What is behind the field is not part of it.
			behind := append(slices.Clone(packet), 0, 1, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
			if _, err := OpenField(nil, behind, authenticator(t, behind), c); err != nil {
				t.Errorf("%v, mode %d: with a field behind: %v", a, mode, err)
			}
		}
	}
}

// "The NTS Authenticator and Encrypted Extension Fields extension field MUST
// NOT be included in NTP packets whose mode is other than 3 (client) or 4
// (server)" (RFC 8915 section 5.6).
func TestAuthenticatorOnlyInClientAndServerModes(t *testing.T) {
	c, nonce := mustNew(t, AESSIVCMAC256, key(AESSIVCMAC256)), make([]byte, 16)
	nonce[0] = 1
	for mode := proto.Mode(0); mode < 8; mode++ {
		legal := mode == proto.ModeClient || mode == proto.ModeServer
		before := header(t, mode)
		packet, err := AppendField(before, c, nonce, nil)
		if legal != (err == nil) || !legal && (!errors.Is(err, ErrMode) || !bytes.Equal(packet, before)) {
			t.Errorf("mode %d: appended %d octets, %v", mode, len(packet)-len(before), err)
		}
		if legal {
			continue
		}
		sealed := sivSeal(key(AESSIVCMAC256), nil, before, nonce) // someone else's mistake
		if packet, err = proto.AppendAuthenticator(before, nonce, sealed, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenField(nil, packet, authenticator(t, packet), c); !errors.Is(err, ErrMode) {
			t.Errorf("mode %d: opened: %v", mode, err)
		}
	}
	for n := range proto.HeaderLen {
		if _, err := AppendField(make([]byte, n), c, nonce, nil); !errors.Is(err, proto.ErrShort) {
			t.Errorf("a packet of %d octets: %v", n, err)
		}
	}
}

// "Otherwise, the Additional Padding field SHALL be at least N_REQ - N_LEN
// octets in length. Servers MUST enforce this requirement by discarding any
// packet that does not conform to it." "For mode 4 (server) packets, no
// Additional Padding field is ever required" (RFC 8915 section 5.6).
func TestServersMustDiscardRequestsWithoutAdditionalPadding(t *testing.T) {
	c := mustNew(t, AESSIVCMAC256, key(AESSIVCMAC256))
	for n := 1; n <= 20; n++ {
		nonce := bytes.Repeat([]byte{5}, n)
		for _, mode := range []proto.Mode{proto.ModeClient, proto.ModeServer} {
			before := header(t, mode)
			need := proto.AuthenticatorPadding(n)
			if mode == proto.ModeServer {
				need = 0
			}
			packet, err := AppendField(slices.Clone(before), c, nonce, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := authenticator(t, packet)
			if _, _, padding, err := proto.ParseAuthenticator(f.Value); err != nil || padding != need {
				t.Errorf("mode %d, nonce of %d: %d octets of padding, want %d, %v", mode, n, padding, need, err)
			}
			if _, err := OpenField(nil, packet, f, c); err != nil {
				t.Errorf("mode %d, nonce of %d: %v", mode, n, err)
			}
			for extra := 0; extra <= 16; extra += 4 {
				sealed := sivSeal(key(AESSIVCMAC256), nil, before, nonce)
				packet, err := proto.AppendAuthenticator(slices.Clone(before), nonce, sealed, extra)
				if err != nil {
					t.Fatal(err)
				}
				_, err = OpenField(nil, packet, authenticator(t, packet), c)
				if extra < need && !errors.Is(err, ErrPadding) || extra >= need && err != nil {
					t.Errorf("mode %d, nonce of %d, %d octets of padding: %v", mode, n, extra, err)
				}
			}
		}
	}
}

func TestFieldErrors(t *testing.T) {
	c, nonce := mustNew(t, AESSIVCMAC256, key(AESSIVCMAC256)), make([]byte, 16)
	before := header(t, proto.ModeClient)
	same := func(b []byte, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) || !bytes.Equal(b, before) {
			t.Errorf("%d octets, %v, want %v and the packet as it was", len(b), err, want)
		}
	}
	b, err := AppendField(before, c, nil, nil)
	same(b, err, ErrNonce)
	b, err = AppendField(before, c, nonce, make([]byte, 65532))
	same(b, err, proto.ErrField)

	packet, err := AppendField(slices.Clone(before), c, nonce, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := authenticator(t, packet)
	for name, bad := range map[string]proto.Field{
		"another type":            {Type: proto.FieldCookie, Value: f.Value, Offset: f.Offset},
		"an offset in the header": {Type: f.Type, Value: f.Value, Offset: proto.HeaderLen - 1},
		"an offset behind it all": {Type: f.Type, Value: f.Value, Offset: len(packet)},
		"no value":                {Type: f.Type, Offset: f.Offset},
	} {
		if _, err := OpenField(nil, packet, bad, c); !errors.Is(err, proto.ErrField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenField(nil, packet[:47], f, c); !errors.Is(err, proto.ErrShort) {
		t.Errorf("a short packet: %v", err)
	}
	if _, err := OpenField(nil, packet, f, mustNew(t, AESSIVCMAC512, key(AESSIVCMAC512))); !errors.Is(err, ErrOpen) {
		t.Errorf("another key: %v", err)
	}
}

// What ntpd-rs, chrony and NTPsec sealed opens under their keys.
func TestPeersPacketsOpen(t *testing.T) {
	text, err := os.ReadFile("../testdata/peers.txt")
	if err != nil {
		t.Fatal(err)
	}
	inner := map[string]int{ // fields in the ciphertext
		"ntpd-rs 1.9.0, NTS request with two placeholders": 0,
		"ntpd-rs 1.9.0, NTS response":                      3,
		"chrony 4.3, NTS request":                          0,
		"chrony 4.3, NTS response":                         1,
		"NTPsec 1.2.2, NTS response":                       1,
	}
	seen := 0
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		_, stanza, _ = strings.Cut(stanza, "name ")
		head, octets, _ := strings.Cut(stanza, "octets ")
		name, head, _ := strings.Cut(head, "\n")
		k, _, keyed := strings.Cut(head, "\nwant ")
		want, known := inner[name]
		if keyed != known {
			t.Errorf("%s: a key without an expectation, or the other way round", name)
		}
		if !keyed {
			continue
		}
		seen++
		packet, a := unhex(t, octets), mustNew(t, AESSIVCMAC256, unhex(t, k[len("c2s "):]))
		plaintext, err := OpenField(nil, packet, authenticator(t, packet), a)
		if err != nil || proto.CheckInner(plaintext) != nil {
			t.Errorf("%s: %x, %v", name, plaintext, err)
		}
		n := 0
		for f := range proto.Inner(plaintext) {
			n++
			if f.Type != proto.FieldCookie || len(f.Value) < 96 {
				t.Errorf("%s: field %#04x of %d octets", name, uint16(f.Type), len(f.Value))
			}
		}
		if n != want {
			t.Errorf("%s: %d fields, want %d", name, n, want)
		}
		// Sealed again with the same nonce it is the same packet.
		f := authenticator(t, packet)
		nonce, _, _, err := proto.ParseAuthenticator(f.Value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := AppendField(slices.Clone(packet[:f.Offset]), a, nonce, plaintext)
		if err != nil || !bytes.Equal(again, packet) {
			t.Errorf("%s: sealed again it is\n%x, not\n%x, %v", name, again, packet, err)
		}
	}
	if seen != len(inner) {
		t.Errorf("%d sealed packets", seen)
	}
}
