package netio

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
)

// getThrough sends datagrams from an address and returns how many of them are
// received. One from elsewhere behind them, which always gets through, ends the
// waiting.
func getThrough(t *testing.T, s *ServerSocket, from string, n int, payload []byte) (got int) {
	t.Helper()
	dial := func(from string) *net.UDPConn {
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Local().Port())
		if netip.MustParseAddr(from).Is6() {
			to = netip.AddrPortFrom(netip.IPv6Loopback(), s.Local().Port())
		}
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(to))
		if err != nil {
			t.Skipf("no address %s here: %v", from, err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c, last := dial(from), dial("127.9.9.9")
	b := NewServerBatch(64)
	for range n {
		write(t, c, payload)
	}
	end := make([]byte, 48)
	end[0], end[1] = 0x23, 99
	write(t, last, end)
	for {
		k, err := s.Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range k {
			if p := b.Datagram(i).Payload; len(p) == 48 && p[1] == 99 {
				return got
			}
			got++
		}
	}
}

// TestShed: what no server answers does not reach the socket, a quarter of what
// comes from certain sources does, and all of the rest.
func TestShed(t *testing.T) {
	s := listenOn(t, "[::]:0")
	request := func(first byte, n int) []byte { return append([]byte{first}, make([]byte, n-1)...) }
	const n = 400
	cases := []struct {
		name        string
		from        string
		payload     []byte
		least, most int
	}{
		{"a request", "127.0.0.1", request(0x23, 48), n, n},
		{"a request with fields", "127.0.0.1", request(0x23, 300), n, n},
		{"a request of version 3", "127.0.0.1", request(0x1b, 48), n, n},
		{"over IPv6", "::1", request(0x23, 48), n, n},
		{"an octet short", "127.0.0.1", request(0x23, 47), 0, 0},
		{"one octet", "127.0.0.1", request(0x23, 1), 0, 0},
		{"nothing", "127.0.0.1", nil, 0, 0},
		{"an answer", "127.0.0.1", request(0x24, 48), 0, 0},
		{"control", "127.0.0.1", request(0x16, 48), 0, 0},
		{"a short one over IPv6", "::1", request(0x23, 47), 0, 0},
	}
	for _, sources := range [][]string{nil, {"127.5.0.1"}, many("127.6.0.%d", 31, "127.5.0.1"), many("2001:db8:0:%x::1", 31, "::1")} {
		var from []netip.Addr
		for _, a := range sources {
			from = append(from, netip.MustParseAddr(a))
		}
		if err := s.Shed(from); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			least, most := c.least, c.most
			if c.from == "::1" && len(from) > 0 && from[len(from)-1].Is6() {
				least, most = least/8, most/2
			}
			if got := getThrough(t, s, c.from, n, c.payload); got < least || got > most {
				t.Errorf("%d sources: %s: %d of %d get through", len(from), c.name, got, n)
			}
		}
		if len(sources) > 0 && from[len(from)-1].Is4() {
			if got := getThrough(t, s, "127.5.0.1", n, request(0x23, 48)); got < n/8 || got > n/2 {
				t.Errorf("%d sources: %d of %d of one of them get through", len(from), got, n)
			}
			if got := getThrough(t, s, "127.5.0.2", n, request(0x23, 48)); got != n {
				t.Errorf("%d sources: %d of %d of their neighbour get through", len(from), got, n)
			}
		}
	}
	if err := s.Unshed(); err != nil {
		t.Fatal(err)
	}
	if got := getThrough(t, s, "127.5.0.1", n, []byte{1}); got != n {
		t.Errorf("without a filter %d of %d get through", got, n)
	}
}

// many is a list of n addresses and one more at its end.
func many(format string, n int, last string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i+1))
	}
	return append(list, last)
}

// TestShedProgramsAreValid for every number of sources of both families: no jump
// leads out of the program, and the kernel takes it.
func TestShedProgramsAreValid(t *testing.T) {
	s := listenOn(t, "127.0.0.1:0")
	for v4 := 0; v4 <= 32; v4 += 4 {
		for v6 := 0; v4+v6 <= 32; v6 += 4 {
			var from []netip.Addr
			for i := range v4 {
				from = append(from, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			}
			for i := range v6 {
				from = append(from, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(i)}))
			}
			if err := s.Shed(from); err != nil {
				t.Fatalf("%d and %d sources: %v", v4, v6, err)
			}
			var raw []bpf.RawInstruction
			for _, f := range shedProgram(from) {
				raw = append(raw, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K})
			}
			if _, ok := bpf.Disassemble(raw); !ok {
				t.Errorf("%d and %d sources: not a program", v4, v6)
			}
		}
	}
}

// TestShedAfterClose fails, and does nothing else.
func TestShedAfterClose(t *testing.T) {
	s := listenOn(t, "127.0.0.1:0")
	s.Close()
	if s.Shed(nil) == nil || s.Unshed() == nil {
		t.Error("a closed socket takes filters")
	}
}
