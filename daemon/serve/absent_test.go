package serve

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/testns"
)

// give sets the address of the loopback interface, as "ip address add" does,
// and brings it up.
func give(t *testing.T, name, addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.SetInet4Addr(netip.MustParseAddr(addr).AsSlice()); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request); err != nil {
		t.Fatal(err)
	}
	if request, err = unix.NewIfreq(name); err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

// TestAbsentAddressIsWaitedFor: it is said once, others are served meanwhile,
// and it is served as soon as it is there.
func TestAbsentAddressIsWaitedFor(t *testing.T) {
	if !testns.Inside(t, testns.Network, 0) {
		return
	}
	give(t, "lo", "127.0.0.1")
	cfg := config(t, realtime{}, listening("192.0.2.77:123"), listening("127.0.0.1:123"))
	cfg.Sections[0].Where = "ntp.toml:5"
	log := newJournal()
	cfg.Log = log.logger()
	s := New(cfg)
	s.retry = time.Millisecond
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	want := `level=WARN msg="ntp.toml:5: could not serve NTP on 192.0.2.77:123: no interface has the address; waiting for it" code=address-missing listen=192.0.2.77:123` + "\n"
	if line := log.wait(t, "no interface"); line != want {
		t.Errorf("\n got %s\nwant %s", line, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	log.wait(t, "listen=127.0.0.1:123")
	ask(t, dial(t, netip.MustParseAddrPort("127.0.0.1:123")), request(4, 1))
	give(t, "lo:1", "192.0.2.77")
	log.wait(t, "listen=192.0.2.77:123")
	ask(t, dial(t, netip.MustParseAddrPort("192.0.2.77:123")), request(4, 1))
}

// TestWaitingIsSaidOnce for each reason, and again after the address was served.
func TestWaitingIsSaidOnce(t *testing.T) {
	cfg := config(t, realtime{}, listening("127.0.0.1:0"))
	log := newJournal()
	cfg.Log = log.logger()
	s := New(cfg)
	sec := s.sections[0]
	for _, err := range []error{ErrAbsent, ErrAbsent, ErrInUse, ErrInUse, ErrAbsent} {
		s.waiting(sec, err)
	}
	s.serving(sec)
	s.waiting(sec, ErrAbsent)
	for _, want := range []string{"no interface", "in use", "no interface", "serving NTP", "no interface"} {
		log.wait(t, want)
	}
	if len(log.lines) != 0 {
		t.Errorf("%d lines more", len(log.lines))
	}
}

// TestPermission: port 123 is not for everyone.
func TestPermission(t *testing.T) {
	if !testns.Inside(t, testns.Network, 1000) {
		return
	}
	err := New(config(t, realtime{}, listening("0.0.0.0:123"))).Listen()
	if want := "test: could not serve NTP on 0.0.0.0:123: permission denied; start as root or with the capability CAP_NET_BIND_SERVICE, or listen on a port from 1024 on"; err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}
