package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// TestAnswersFromTheAddressThatWasAsked: the client's sockets are connected, so
// that an answer from another address would not arrive.
func TestAnswersFromTheAddressThatWasAsked(t *testing.T) {
	for _, test := range []struct {
		listen string
		asked  []string
	}{
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.9.8.7"}},
		{"[::]:0", []string{"127.0.0.1", "127.0.0.2", "::1"}},
		{"127.0.0.3:0", []string{"127.0.0.3"}},
		{"[::1]:0", []string{"::1"}},
	} {
		t.Run(test.listen, func(t *testing.T) {
			s := start(t, config(t, realtime{}, listening(test.listen)))
			for i, a := range test.asked {
				h := ask(t, dial(t, at(a, s.Addrs()[0])), request(4, proto.Timestamp(1000+i)))
				if h.Mode != proto.ModeServer || h.Version != 4 || h.Stratum != 2 || h.Poll != 6 || h.Origin != proto.Timestamp(1000+i) {
					t.Errorf("%s answered %+v", a, h)
				}
			}
		})
	}
}

// TestServesTheClock: both timestamps of an answer are those of the clock that
// is steered, wherever CLOCK_REALTIME is.
func TestServesTheClock(t *testing.T) {
	const by = -1000 * proto.Second
	s := start(t, config(t, shifted{by}, listening("127.0.0.1:0")))
	before := proto.FromTime(time.Now()).Add(by)
	h := ask(t, dial(t, s.Addrs()[0]), request(4, 1))
	after := proto.FromTime(time.Now()).Add(by)
	if h.Receive.Before(before) || h.Transmit.Before(h.Receive) || after.Before(h.Transmit) {
		t.Errorf("receive %v and transmit %v are not between %v and %v", h.Receive, h.Transmit, before, after)
	}
}

// TestSections: each has its policy and its counters.
func TestSections(t *testing.T) {
	deny, err := server.NewAccessList(server.Rule{}, server.Rule{Action: server.Deny})
	if err != nil {
		t.Fatal(err)
	}
	second := listening("127.0.0.1:0")
	second.Policy.Access = deny
	s := start(t, config(t, realtime{}, listening("127.0.0.1:0"), second))
	for range 2 {
		if h := ask(t, dial(t, s.Addrs()[0]), request(4, 1)); h.Stratum != 2 {
			t.Errorf("first section: %+v", h)
		}
	}
	if h := ask(t, dial(t, s.Addrs()[1]), request(4, 1)); h.RefID != proto.KissDeny {
		t.Errorf("second section: %+v", h)
	}
	want := []server.Stats{{ReceivedPackets: 2, AcceptedPackets: 2}, {ReceivedPackets: 1, DeniedPackets: 1}}
	if got := s.Stats(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
}

// TestFollowsSnapshots: what is published is served from the next request on,
// and a stale or missing snapshot means unsynchronised.
func TestFollowsSnapshots(t *testing.T) {
	cfg := config(t, realtime{}, listening("127.0.0.1:0"))
	s := start(t, cfg)
	c := dial(t, s.Addrs()[0])
	for i, test := range []struct {
		snapshot *server.TimeSnapshot
		stratum  uint8
	}{
		{&server.TimeSnapshot{Stratum: 3, ValidUntil: proto.Never}, 3},
		{&server.TimeSnapshot{Stratum: 4, ValidUntil: boottime().Add(time.Hour)}, 4},
		{&server.TimeSnapshot{Stratum: 4, ValidUntil: boottime().Add(-time.Second)}, 16},
		{nil, 16},
	} {
		cfg.Snapshot.Store(test.snapshot)
		if h := ask(t, c, request(4, 1)); h.Stratum != test.stratum || (h.Leap == proto.LeapUnsynchronised) != (test.stratum == 16) {
			t.Errorf("%d: %+v", i, h)
		}
	}
}

// TestFollowsKeys: NTS works with the keys of the moment.
func TestFollowsKeys(t *testing.T) {
	cfg := config(t, realtime{}, listening("127.0.0.1:0"))
	s := start(t, cfg)
	c := dial(t, s.Addrs()[0])
	ask(t, c, protected(t, cfg.Keys.Load()))
	other, err := cookie.NewKeyset(cfg.Entropy)
	if err != nil {
		t.Fatal(err)
	}
	payload := protected(t, cfg.Keys.Load())
	cfg.Keys.Store(other)
	if h := ask(t, c, payload); h.RefID != proto.KissNTSN {
		t.Errorf("cookie of other keys: %+v", h)
	}
	ask(t, c, protected(t, other))
	want := server.Stats{ReceivedPackets: 3, AcceptedPackets: 2, NTSReceivedPackets: 3, NTSAcceptedPackets: 2, NTSNakPackets: 1}
	if got := s.Stats()[0]; got != want {
		t.Errorf("%+v", got)
	}
}

// protected is an NTS request with a cookie of a key set.
func protected(t testing.TB, k *cookie.Keyset) []byte {
	t.Helper()
	key := bytes.Repeat([]byte{1}, aead.AESSIVCMAC256.KeyLen())
	ck, err := k.Seal(nil, cookie.Contents{Algorithm: aead.AESSIVCMAC256, S2C: key, C2S: key}, make([]byte, cookie.NonceLen))
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(aead.AESSIVCMAC256, key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.AppendField(request(4, 1), proto.FieldUniqueIdentifier, make([]byte, 32), proto.MinFieldLen)
	if err == nil {
		b, err = proto.AppendField(b, proto.FieldCookie, ck, proto.MinFieldLen)
	}
	if err == nil {
		b, err = aead.AppendField(b, a, make([]byte, 16), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWorkers: several sockets on one port answer, together as one section.
func TestWorkers(t *testing.T) {
	sec := listening("127.0.0.1:0")
	sec.Workers = 3
	s := start(t, config(t, realtime{}, sec))
	const clients = 30
	for i := range clients {
		if h := ask(t, dial(t, s.Addrs()[0]), request(4, proto.Timestamp(i+1))); h.Origin != proto.Timestamp(i+1) {
			t.Errorf("client %d: %+v", i, h)
		}
	}
	if got := s.Stats()[0].AcceptedPackets; got != clients {
		t.Errorf("%d answers counted", got)
	}
	busy := 0
	for i := range s.sections[0].counters {
		if s.sections[0].counters[i].Verdict(server.Accepted) > 0 {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("%d of 3 workers had something to do", busy)
	}
	// Sharing the port among ourselves does not mean sharing it with others.
	again := listening(s.Addrs()[0].String())
	again.Workers = 3
	if err := New(config(t, realtime{}, again)).Listen(); !errors.Is(err, ErrInUse) {
		t.Errorf("a second daemon: %v", err)
	}
}

// TestBothFamilies: the unspecified addresses of both families on one port.
func TestBothFamilies(t *testing.T) {
	probe, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).Port
	probe.Close()
	s := start(t, config(t, realtime{}, listening(fmt.Sprintf("[::]:%d", port)), listening(fmt.Sprintf("0.0.0.0:%d", port))))
	ask(t, dial(t, at("::1", s.Addrs()[0])), request(4, 1))
	ask(t, dial(t, at("127.0.0.1", s.Addrs()[1])), request(4, 1))
	for i, got := range s.Stats() {
		if got.AcceptedPackets != 1 {
			t.Errorf("section %d: %+v", i, got)
		}
	}
}

// TestOneSocketForBothFamilies: unless another section has IPv4 on the port.
func TestOneSocketForBothFamilies(t *testing.T) {
	for _, test := range []struct {
		other string
		only6 bool
	}{
		{"0.0.0.0:123", true}, {"[::ffff:0.0.0.0]:123", true}, {"0.0.0.0:124", false}, {"192.0.2.1:123", false}, {"[::1]:123", false},
	} {
		s := New(config(t, realtime{}, listening("[::]:123"), listening(test.other)))
		if got := s.sections[0].only6; got != test.only6 {
			t.Errorf("beside %s: IPv6 only %v", test.other, got)
		}
	}
}

// TestStops: when the context ends, the workers do, and the port is free.
func TestStops(t *testing.T) {
	s := New(config(t, realtime{}, listening("127.0.0.1:0")))
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	addr := s.Addrs()[0]
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	ask(t, dial(t, addr), request(4, 1))
	cancel()
	<-done
	start(t, config(t, realtime{}, listening(addr.String())))
	if got := s.Stats()[0].AcceptedPackets; got != 1 {
		t.Errorf("the counters are gone: %d", got)
	}
}

// TestStopsBeforeItBegins: a context that has ended already ends Serve too.
func TestStopsBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := New(config(t, realtime{}, listening("127.0.0.1:0"), listening("192.0.2.77:0")))
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.Serve(ctx)
	for i, addr := range s.Addrs() {
		if addr.IsValid() {
			t.Errorf("section %d stays on %v", i, addr)
		}
	}
	// Between two looks a section may lose its sockets.
	if err := s.sections[0].serve(&s.cfg); !errors.Is(err, os.ErrClosed) {
		t.Errorf("without sockets: %v", err)
	}
}

// TestSocketIsOpenedAgain: a socket that fails is replaced, and that is said.
func TestSocketIsOpenedAgain(t *testing.T) {
	cfg := config(t, realtime{}, listening("127.0.0.1:0"))
	log := newJournal()
	cfg.Log = log.logger()
	s := New(cfg)
	s.retry = time.Millisecond
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	breakSocket(t, s.Addrs()[0])
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for _, want := range []string{"serving NTP", "NTP server socket failed", "serving NTP"} {
		log.wait(t, want)
	}
	ask(t, dial(t, s.Addrs()[0]), request(4, 1))
}

// breakSocket puts something that is no socket in the place of the one that is
// bound to an address.
func breakSocket(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range fds {
		var fd int
		if _, err := fmt.Sscan(entry.Name(), &fd); err != nil {
			continue
		}
		name, err := unix.Getsockname(fd)
		if a, ok := name.(*unix.SockaddrInet4); err != nil || !ok || a.Port != int(addr.Port()) {
			continue
		}
		event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err == nil {
			err = unix.Dup3(event, fd, unix.O_CLOEXEC)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(event)
		return
	}
	t.Fatal("the socket is not among our descriptors")
}

// TestListenErrors: each is one line that names the address, the place in the
// configuration and the remedy.
func TestListenErrors(t *testing.T) {
	taken := start(t, config(t, realtime{}, listening("127.0.0.1:0"))).Addrs()[0]
	first, second := listening(taken.String()), listening("[::ffff:"+taken.Addr().String()+"]:"+fmt.Sprint(taken.Port()))
	first.Where, second.Where = "ntp.toml:3", "ntp.toml:7"
	free := listening("127.0.0.1:0")
	s := New(config(t, realtime{}, first, free, second))
	err := s.Listen()
	var listen *ListenError
	if !errors.Is(err, ErrInUse) || !errors.As(err, &listen) || listen.Listen != taken || listen.Where != "ntp.toml:3" {
		t.Fatalf("%v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[1], "ntp.toml:7: ") {
		t.Errorf("%q", lines)
	}
	want := fmt.Sprintf("ntp.toml:3: could not serve NTP on %v: address already in use; find who has it with \"ss -ulpn sport = :%d\" and stop it, or listen on another port", taken, taken.Port())
	if lines[0] != want {
		t.Errorf("\n got %s\nwant %s", lines[0], want)
	}
	if got := s.Addrs()[1]; got.IsValid() {
		t.Errorf("%v stays bound", got)
	}
}

func TestListenErrorsOfTheSystem(t *testing.T) {
	s := listening("[2001:db8::1]:123")
	s.Where = ""
	for _, test := range []struct {
		err  error
		is   error
		want string
	}{
		{unix.EADDRINUSE, ErrInUse, "could not serve NTP on [2001:db8::1]:123: address already in use; find who has it with \"ss -ulpn sport = :123\" and stop it, or listen on another port"},
		{unix.EACCES, ErrPermission, "could not serve NTP on [2001:db8::1]:123: permission denied; start as root or with the capability CAP_NET_BIND_SERVICE, or listen on a port from 1024 on"},
		{unix.EPERM, ErrPermission, "could not serve NTP on [2001:db8::1]:123: permission denied; start as root or with the capability CAP_NET_BIND_SERVICE, or listen on a port from 1024 on"},
		{unix.EADDRNOTAVAIL, ErrAbsent, "could not serve NTP on [2001:db8::1]:123: no interface has the address"},
		{unix.ENODEV, ErrAbsent, "could not serve NTP on [2001:db8::1]:123: no interface has the address"},
		{unix.EAFNOSUPPORT, unix.EAFNOSUPPORT, "could not serve NTP on [2001:db8::1]:123: bind: address family not supported by protocol; this machine has IPv6 switched off: listen on an IPv4 address"},
		{unix.ENOMEM, unix.ENOMEM, "could not serve NTP on [2001:db8::1]:123: bind: cannot allocate memory"},
	} {
		err := listenError(&s, os.NewSyscallError("bind", test.err))
		if !errors.Is(err, test.is) || err.Error() != test.want {
			t.Errorf("\n got %v\nwant %s", err, test.want)
		}
	}
}
