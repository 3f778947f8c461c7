package proto

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// packet is a client's header of a version with what follows it.
func packet(version uint8, parts ...[]byte) []byte {
	h := Header{Version: version, Mode: ModeClient}
	return append(h.Append(nil), bytes.Join(parts, nil)...)
}

// shape says what a packet was parsed into: its fields as type/length and
// the length of its MAC, or its error.
func shape(b []byte) string {
	p, err := ParsePacket(b)
	switch {
	case errors.Is(err, ErrShort):
		return "short"
	case errors.Is(err, ErrField):
		return "bad field"
	case errors.Is(err, ErrMAC):
		return "bad MAC"
	case err != nil:
		return err.Error()
	}
	s := fmt.Sprintf("v%d mode %d", p.Version, p.Mode)
	for f := range p.All() {
		s += fmt.Sprintf(" %04x/%d", uint16(f.Type), fieldHeaderLen+len(f.Value))
	}
	return s + fmt.Sprintf(" mac %d", len(p.MAC))
}

// "If a MAC is used, it resides at the end of the packet. This field can be
// either 24 octets long, 20 octets long, or a 4-octet crypto-NAK" (RFC 7822
// section 1).
func TestMACHas24Or20Or4Octets(t *testing.T) {
	for n := range 25 {
		want := "bad MAC"
		if n == 0 || n == 4 || n == 20 || n == 24 {
			want = fmt.Sprintf("v4 mode 3 mac %d", n)
		}
		if got := shape(packet(4, make([]byte, n))); got != want {
			t.Errorf("%d octets behind a header: %s, want %s", n, got, want)
		}
		behind := "bad MAC"
		if n == 0 || n == 4 || n == 20 || n == 24 {
			behind = fmt.Sprintf("v4 mode 3 0104/36 mac %d", n)
		}
		if got := shape(packet(4, field(FieldUniqueIdentifier, 36, 36), make([]byte, n))); got != behind {
			t.Errorf("%d octets behind a field: %s, want %s", n, got, behind)
		}
	}
}

// "A MAC MUST NOT be longer than 24 octets if there is no extension field
// present, unless a longer MAC is agreed upon" (RFC 7822 section 3, new
// section 7.5.1.3): what is longer is extension fields or nothing.
func TestNothingLongerThan24OctetsIsAMAC(t *testing.T) {
	for n := 25; n < 80; n++ {
		if got := shape(packet(4, bytes.Repeat([]byte{0xff}, n))); got != "bad field" {
			t.Errorf("%d octets: %s", n, got)
		}
	}
}

// "If the packet includes a single extension field, the length of the extension
// field MUST be at least 7 words, i.e., at least 28 octets. If the packet
// includes more than one extension field, the length of the last extension
// field MUST be at least 28 octets. The length of the other extension fields in
// this case MUST be at least 16 octets each" (RFC 7822 section 3, new
// section 7.5.1.4).
func TestLastFieldWithoutMACHasAtLeast28Octets(t *testing.T) {
	for n := 4; n < 28; n += 4 { // a shorter one is not seen as a field
		for _, before := range [][]byte{nil, field(1, 16, 16), field(1, 40, 40)} {
			b := packet(4, before, field(2, n, n))
			if p, err := ParsePacket(b); err == nil && len(p.Fields) == len(before)+n {
				t.Errorf("a last field of %d behind %d octets of fields was taken", n, len(before))
			}
		}
	}
	if got := shape(packet(4, field(1, 28, 28))); got != "v4 mode 3 0001/28 mac 0" {
		t.Errorf("a single field of 28: %s", got)
	}
	if got := shape(packet(4, field(1, 16, 16), field(2, 28, 28))); got != "v4 mode 3 0001/16 0002/28 mac 0" {
		t.Errorf("a last field of 28: %s", got)
	}
	for n := 0; n < 16; n += 4 {
		if got := shape(packet(4, field(1, n, max(n, 4)), field(2, 28, 28))); got != "bad field" {
			t.Errorf("a field of %d before the last: %s", n, got)
		}
	}
}

func TestFieldAndMACAreToldApartByLength(t *testing.T) {
	uid := field(FieldUniqueIdentifier, 36, 36)
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", packet(4), "v4 mode 3 mac 0"},
		{"a crypto-NAK", packet(4, make([]byte, 4)), "v4 mode 3 mac 4"},
		{"a field of 16 before a MAC of 20", packet(4, field(1, 16, 16), make([]byte, 20)), "v4 mode 3 0001/16 mac 20"},
		{"a field of 24 before a crypto-NAK", packet(4, field(1, 24, 24), make([]byte, 4)), "v4 mode 3 0001/24 mac 4"},
		{"a lone field of 24 is a MAC", packet(4, field(1, 24, 24)), "v4 mode 3 mac 24"},
		{"a lone field of 20 is a MAC", packet(4, field(1, 20, 20)), "v4 mode 3 mac 20"},
		{"a lone field of 16 is nothing", packet(4, field(1, 16, 16)), "bad MAC"},
		{"a field behind which 12 are left", packet(4, field(1, 16, 16), make([]byte, 12)), "bad MAC"},
		{"a field longer than the packet", packet(4, field(1, 40, 36)), "bad field"},
		{"a field of odd length", packet(4, field(1, 30, 32)), "bad field"},
		{"octets behind the last field", packet(4, uid, make([]byte, 3)), "bad MAC"},
		{"version 5 is read as version 4", packet(5, uid), "v5 mode 3 0104/36 mac 0"},
		{"version 7 too", packet(7, uid, make([]byte, 20)), "v7 mode 3 0104/36 mac 20"},
		{"47 octets", packet(4)[:47], "short"},
	}
	for _, tt := range tests {
		if got := shape(tt.b); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The authenticator takes the place of a MAC. Behind it may be "some
// additional extension fields that are neither encrypted nor authenticated"
// (RFC 8915 section 5.2), which are not mistaken for one however short.
func TestNoMACBehindTheAuthenticator(t *testing.T) {
	auth, err := AppendAuthenticator(nil, make([]byte, 16), make([]byte, 16), 0)
	if err != nil {
		t.Fatal(err)
	}
	uid := field(FieldUniqueIdentifier, 36, 36)
	tests := []struct {
		behind []byte
		want   string
	}{
		{nil, "v4 mode 3 0104/36 0404/40 mac 0"},
		{field(1, 16, 16), "v4 mode 3 0104/36 0404/40 0001/16 mac 0"},
		{field(1, 20, 20), "v4 mode 3 0104/36 0404/40 0001/20 mac 0"},
		{field(1, 24, 24), "v4 mode 3 0104/36 0404/40 0001/24 mac 0"},
		{slices.Concat(field(1, 28, 28), field(2, 16, 16)), "v4 mode 3 0104/36 0404/40 0001/28 0002/16 mac 0"},
		{auth, "v4 mode 3 0104/36 0404/40 0404/40 mac 0"}, // one too many: for the caller to refuse
		{make([]byte, 4), "bad field"},
		{make([]byte, 20), "bad field"},
		{field(1, 12, 12), "bad field"},
		{[]byte{0}, "bad field"},
	}
	for _, tt := range tests {
		if got := shape(packet(4, uid, auth, tt.behind)); got != tt.want {
			t.Errorf("%x behind the authenticator: %s, want %s", tt.behind, got, tt.want)
		}
	}
}

// Version 3 has no extension fields; its authenticator is a key identifier with
// a DES checksum of 64 bits (RFC 1305 appendix C), or the digests that came
// later.
func TestVersion3TailIsAMAC(t *testing.T) {
	for version := range uint8(4) {
		for n := range 80 {
			want := "bad MAC"
			if slices.Contains([]int{0, 4, 12, 20, 24}, n) {
				want = fmt.Sprintf("v%d mode 3 mac %d", version, n)
			}
			if got := shape(packet(version, make([]byte, n))); got != want {
				t.Errorf("%d octets behind a header of version %d: %s, want %s", n, version, got, want)
			}
		}
		uid := field(FieldUniqueIdentifier, 36, 36)
		if got := shape(packet(version, uid)); got != "bad MAC" {
			t.Errorf("a field in version %d: %s", version, got)
		}
	}
}

func TestPacketPartsAliasTheDatagram(t *testing.T) {
	uid, mac := field(FieldUniqueIdentifier, 36, 36), bytes.Repeat([]byte{0xbb}, 20)
	b := packet(4, uid, mac)
	p, err := ParsePacket(b)
	if err != nil || !bytes.Equal(p.Fields, uid) || !bytes.Equal(p.MAC, mac) {
		t.Fatalf("fields %x, MAC %x, %v", p.Fields, p.MAC, err)
	}
	if &p.Fields[0] != &b[HeaderLen] || &p.MAC[0] != &b[HeaderLen+36] || cap(p.Fields) != len(p.Fields) {
		t.Error("parts were copied, or appending to the fields would write into the MAC")
	}
	for f := range p.All() {
		if f.Offset != HeaderLen {
			t.Errorf("offset %d does not count from the start of the datagram", f.Offset)
		}
	}
}

func TestParsingDoesNotAllocate(t *testing.T) {
	uid, cookie := field(FieldUniqueIdentifier, 36, 36), field(FieldCookie, 108, 108)
	auth, err := AppendAuthenticator(nil, make([]byte, 16), make([]byte, 16), 0)
	if err != nil {
		t.Fatal(err)
	}
	request := packet(4, uid, cookie, auth)
	garbage := [][]byte{request[:40], packet(4, make([]byte, 9)), packet(4, make([]byte, 40)), packet(3, make([]byte, 40))}
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		p, err := ParsePacket(request)
		if err != nil {
			t.Fatal(err)
		}
		for f := range p.All() {
			n += len(f.Value)
		}
		for b, at := p.Fields, HeaderLen; len(b) > 0; {
			f, rest, err := NextField(b, at, MinFieldLen)
			if err != nil {
				t.Fatal(err)
			}
			if f.Type == FieldAuthenticator {
				if _, _, _, err := ParseAuthenticator(f.Value); err != nil {
					t.Fatal(err)
				}
			}
			b, at = rest, at+len(b)-len(rest)
		}
		for _, b := range garbage {
			if _, err := ParsePacket(b); err == nil {
				t.Fatal("garbage was parsed")
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if n == 0 {
		t.Error("no fields were seen")
	}
}
