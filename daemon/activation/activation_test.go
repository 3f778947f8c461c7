package activation

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhoIsMeant(t *testing.T) {
	for _, c := range []struct {
		pid, fds string
		fails    bool
	}{
		{"", "", false},   // nobody
		{"8", "5", false}, // another process
		{"7", "0", false},
		{"7", "many", true}, {"7", "", true}, {"7", "-1", true}, {"7", "1025", true}, {"7", "70000", true},
	} {
		env := map[string]string{"LISTEN_PID": c.pid, "LISTEN_FDS": c.fds}
		s, err := Take(func(name string) string { return env[name] }, 7)
		if (err != nil) != c.fails || s.Len() != 0 || err != nil && !strings.Contains(err.Error(), "LISTEN_FDS") {
			t.Errorf("%+v: %d sockets, %v", c, s.Len(), err)
		}
	}
}

// made is a socket as Take would find it.
func made(t *testing.T, name string, domain, kind int, bind unix.Sockaddr, listen bool) *socket {
	t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, bind)
	}
	if err == nil && listen {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		t.Skipf("no such socket here: %v", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), name), name: name}
	t.Cleanup(func() { _ = s.file.Close() })
	s.kind, s.addr = describe(fd)
	return s
}

func TestSocketsAreFoundByTheirAddress(t *testing.T) {
	any4, any6 := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}
	udp4 := made(t, "udp4", unix.AF_INET, unix.SOCK_DGRAM, any4, false)
	udp6 := made(t, "udp6", unix.AF_INET6, unix.SOCK_DGRAM, any6, false)
	tcp6 := made(t, "tcp6", unix.AF_INET6, unix.SOCK_STREAM, any6, true)
	deaf := made(t, "deaf", unix.AF_INET, unix.SOCK_STREAM, any4, false)
	local := made(t, "", unix.AF_UNIX, unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: "@ntpd-go-activation-test"}, false)
	s := &Sockets{all: []*socket{udp4, udp6, tcp6, deaf, local}}

	if got := s.UDP(udp4.addr); !slices.Equal(got, []*os.File{udp4.file}) {
		t.Errorf("udp4: %v", got)
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(udp4.addr.Addr().As16()), udp4.addr.Port())
	if got := s.UDP(mapped); len(got) != 1 {
		t.Errorf("udp4 as mapped into IPv6: %v", got)
	}
	if got := s.TCP(tcp6.addr); got != tcp6.file {
		t.Errorf("tcp6: %v", got)
	}
	for _, other := range []netip.AddrPort{udp6.addr, netip.AddrPortFrom(udp4.addr.Addr(), 9), netip.AddrPortFrom(netip.IPv4Unspecified(), udp4.addr.Port())} {
		if got := s.TCP(other); got != nil {
			t.Errorf("%v: %v", other, got)
		}
	}
	want := []string{"udp " + udp6.addr.String() + ` ("udp6")`, `descriptor 6 ("deaf")`, "descriptor 7"}
	if got := s.Unused(); !slices.Equal(got, want) {
		t.Errorf("unused are %q, want %q", got, want)
	}
	if _, err := udp6.file.Write(nil); err == nil {
		t.Error("what nobody uses is still open")
	}
	if _, err := unix.Getsockname(int(udp4.file.Fd())); err != nil {
		t.Errorf("what is used is closed: %v", err)
	}

	var none *Sockets
	if none.UDP(udp4.addr) != nil || none.TCP(tcp6.addr) != nil || none.Unused() != nil || none.Len() != 0 {
		t.Error("no sockets, and some are found")
	}
}

// The zone of a link-local address may be written as a name.
func TestZonesAreCompared(t *testing.T) {
	lo, err := net.InterfaceByIndex(1)
	if err != nil {
		t.Skip(err)
	}
	socket := netip.MustParseAddrPort("[fe80::1%1]:123")
	for text, want := range map[string]bool{
		"[fe80::1%" + lo.Name + "]:123": true, "[fe80::1%1]:123": true,
		"[fe80::1%2]:123": false, "[fe80::1]:123": false, "[fe80::2%1]:123": false, "[fe80::1%1]:124": false,
	} {
		if got := same(socket, netip.MustParseAddrPort(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
