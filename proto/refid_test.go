package proto

import (
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"testing"
)

// "If using the IPv4 address family, the identifier is the four-octet IPv4
// address. If using the IPv6 address family, it is the first four octets of
// the MD5 hash of the IPv6 address" (RFC 5905 section 7.3).
func TestRefIDOfAnAddress(t *testing.T) {
	loopback := md5.Sum([]byte{15: 1})
	tests := []struct {
		addr string
		want uint32
	}{
		{"192.0.2.1", 0xc0000201},
		{"::ffff:192.0.2.1", 0xc0000201}, // the same server through a dual-stack socket
		{"::1", binary.BigEndian.Uint32(loopback[:])},
		{"2001:db8::1", 0x39ab9b37}, // md5sum of the 16 octets: 39ab9b3749629b8f…
		{"2001:db8::1%eth0", 0x39ab9b37},
	}
	for _, tt := range tests {
		if got := RefIDAddr(netip.MustParseAddr(tt.addr)); got != RefID(tt.want) {
			t.Errorf("%s is %08x, want %08x", tt.addr, uint32(got), tt.want)
		}
	}
}

// "This is a four-octet, left-justified, zero-padded ASCII string" (RFC 5905
// section 7.3).
func TestRefIDText(t *testing.T) {
	tests := []struct {
		text   string
		want   RefID
		prints string
	}{
		{"GPS", 0x47505300, "GPS"},
		{"GOES", 0x474f4553, "GOES"},
		{"X", 0x58000000, "X"},
		{"toolong", 0x746f6f6c, "tool"},
		{"PPS ", 0x50505320, "PPS"},
		{"!~!~", 0x217e217e, "!~!~"}, // the ends of what is printable
	}
	for _, tt := range tests {
		got := RefIDText(tt.text)
		if got != tt.want || got.String() != tt.prints {
			t.Errorf("%q is %08x and prints %q", tt.text, uint32(got), got)
		}
	}
}

func TestRefIDThatIsNoTextPrintsAsAddress(t *testing.T) {
	tests := []struct {
		id   RefID
		want string
	}{
		{0, "0.0.0.0"},
		{0xc0000201, "192.0.2.1"},
		{0x7f7f0101, "127.127.1.1"},
		{0x47005053, "71.0.80.83"}, // a zero inside
		{0x47205053, "71.32.80.83"},
		{0x4750537f, "71.80.83.127"},
		{0x20202020, "32.32.32.32"},
	}
	for _, tt := range tests {
		if _, ok := tt.id.Text(); ok || tt.id.String() != tt.want {
			t.Errorf("%08x prints %q, want %q", uint32(tt.id), tt.id, tt.want)
		}
	}
}
