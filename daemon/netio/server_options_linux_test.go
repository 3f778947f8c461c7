package netio

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenServerErrors(t *testing.T) {
	taken := listenOn(t, "127.0.0.1:0")
	for _, test := range []struct {
		listen string
		shared bool
		want   error
	}{
		{taken.Local().String(), false, unix.EADDRINUSE},
		{taken.Local().String(), true, unix.EADDRINUSE}, // the first does not share
		{"192.0.2.1:0", false, unix.EADDRNOTAVAIL},
		{"[2001:db8::1]:0", false, unix.EADDRNOTAVAIL},
		{"[fe80::1%no-such-interface]:0", false, unix.ENODEV},
		{"[fe80::1%4000000]:0", false, unix.ENODEV},
	} {
		_, err := OpenServer(ServerConfig{Listen: netip.MustParseAddrPort(test.listen), Shared: test.shared})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.listen, err, test.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", test.listen, err)
		}
	}
}

// TestServerBothFamilies: the unspecified addresses of both families can be
// served on one port by two sockets, and by one.
func TestServerBothFamilies(t *testing.T) {
	four := listenOn(t, "0.0.0.0:0")
	both := netip.AddrPortFrom(netip.IPv6Unspecified(), four.Local().Port())
	if _, err := OpenServer(ServerConfig{Listen: both}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a socket for both families beside one for IPv4: %v", err)
	}
	six, b := openServer(t, ServerConfig{Listen: both, IPv6Only: true}), NewServerBatch(1)
	write(t, asking(t, toward(six, "::1")), []byte("six"))
	receive(t, six, b, 1)
	write(t, asking(t, toward(four, "127.0.0.1")), []byte("four"))
	receive(t, four, b, 1)
	if got := string(b.Datagram(0).Payload); got != "four" {
		t.Errorf("%q", got)
	}
}

// TestServerOptions: the path's MTU, which anyone can claim to know, is not
// listened to, and bursts find room.
func TestServerOptions(t *testing.T) {
	for _, test := range []struct {
		listen string
		want   map[[2]int]int
	}{
		{"0.0.0.0:0", map[[2]int]int{{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}: unix.IP_PMTUDISC_OMIT}},
		{"[::1]:0", map[[2]int]int{
			{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER}: unix.IPV6_PMTUDISC_OMIT,
			{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}:       1,
		}},
		{"[::]:0", map[[2]int]int{
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}:     unix.IP_PMTUDISC_OMIT,
			{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER}: unix.IPV6_PMTUDISC_OMIT,
			{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}:       0,
		}},
	} {
		plain, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		usual, _ := unix.GetsockoptInt(plain, unix.SOL_SOCKET, unix.SO_RCVBUF)
		_ = unix.SetsockoptInt(plain, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		most, _ := unix.GetsockoptInt(plain, unix.SOL_SOCKET, unix.SO_RCVBUF)
		_ = unix.Close(plain)
		s := listenOn(t, test.listen)
		err = s.raw.Control(func(fd uintptr) {
			for o, want := range test.want {
				if got, err := unix.GetsockoptInt(int(fd), o[0], o[1]); got != want || err != nil {
					t.Errorf("%s: option %v is %d, %v; want %d", test.listen, o, got, err, want)
				}
			}
			if got, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); got < max(usual, most) {
				t.Errorf("%s: a receive buffer of %d where %d are to be had", test.listen, got, most)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestServerShared: several sockets on one port, of which each client gets one.
func TestServerShared(t *testing.T) {
	first := openServer(t, ServerConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Shared: true})
	second := openServer(t, ServerConfig{Listen: first.Local(), Shared: true})
	if first.Local() != second.Local() {
		t.Errorf("%v and %v", first.Local(), second.Local())
	}
}
