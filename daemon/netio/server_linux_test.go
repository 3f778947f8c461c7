package netio

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/testns"
	"github.com/ntpd-go/ntpd-go/proto"
)

func openServer(t testing.TB, cfg ServerConfig) *ServerSocket {
	t.Helper()
	s, err := OpenServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func listenOn(t testing.TB, addr string) *ServerSocket {
	t.Helper()
	return openServer(t, ServerConfig{Listen: netip.MustParseAddrPort(addr)})
}

// toward is an address with the socket's port.
func toward(s *ServerSocket, addr string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), s.Local().Port())
}

// asking opens a client that hears only the address it asks.
func asking(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t testing.TB, c *net.UDPConn, payload []byte) {
	t.Helper()
	if _, err := c.Write(payload); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, s *ServerSocket, b *ServerBatch, want int) {
	t.Helper()
	n, err := s.Receive(b)
	if err != nil || n != want {
		t.Fatalf("received %d, %v; want %d", n, err, want)
	}
}

// TestServerSocket: a request comes with who sent it, which address it asked
// and when the kernel got it; the response leaves from that address.
func TestServerSocket(t *testing.T) {
	for _, test := range []struct{ listen, asked, from string }{
		{"0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.2", "127.0.0.1"},
		{"[::]:0", "127.0.0.2", "127.0.0.1"},
		{"[::]:0", "::1", "::1"},
		{"127.0.0.3:0", "127.0.0.3", "127.0.0.1"},
		{"[::ffff:127.0.0.3]:0", "127.0.0.3", "127.0.0.1"},
		{"[::1]:0", "::1", "::1"},
	} {
		for _, single := range []bool{false, true} {
			t.Run(test.listen+" "+test.asked, func(t *testing.T) {
				s, b := listenOn(t, test.listen), NewServerBatch(4)
				s.single = single
				c := asking(t, toward(s, test.asked))
				before := proto.FromTime(time.Now())
				write(t, c, []byte("request"))
				receive(t, s, b, 1)
				d := b.Datagram(0)
				if string(d.Payload) != "request" || d.From != c.LocalAddr().(*net.UDPAddr).AddrPort() || d.To.String() != test.asked || d.Group {
					t.Errorf("datagram %+v, payload %q", d, d.Payload)
				}
				if d.Stamp.Source != proto.StampKernel || d.Stamp.At.Before(before) || proto.FromTime(time.Now()).Before(d.Stamp.At) {
					t.Errorf("stamp %+v", d.Stamp)
				}
				b.Queue(0, append(b.Buffer(0), "response"...))
				if b.Queued() != 1 || s.Send(b) != 0 || b.Queued() != 0 {
					t.Error("the response was not sent")
				}
				buf := make([]byte, 100)
				if n, err := c.Read(buf); err != nil || string(buf[:n]) != "response" {
					t.Errorf("%q, %v", buf[:n], err)
				}
			})
		}
	}
}

// TestServerBatch: requests that wait are received together, and each response
// goes to its own client, whatever is left out and whatever the order.
func TestServerBatch(t *testing.T) {
	s, b := listenOn(t, "0.0.0.0:0"), NewServerBatch(4)
	var clients []*net.UDPConn
	for i := range 6 {
		c := asking(t, toward(s, []string{"127.0.0.1", "127.0.0.2"}[i%2]))
		write(t, c, []byte{'a' + byte(i)})
		clients = append(clients, c)
	}
	receive(t, s, b, 4)
	for _, i := range []int{3, 0, 1} {
		b.Queue(i, append(b.Buffer(i), b.Datagram(i).Payload...))
	}
	if failed := s.Send(b); failed != 0 {
		t.Errorf("%d failed", failed)
	}
	receive(t, s, b, 2)
	for i := range 2 {
		b.Queue(i, append(b.Buffer(i), b.Datagram(i).Payload...))
		if failed := s.Send(b); failed != 0 {
			t.Errorf("%d failed", failed)
		}
	}
	for i, c := range clients {
		if i == 2 {
			continue
		}
		buf := make([]byte, 10)
		if n, err := c.Read(buf); err != nil || n != 1 || buf[0] != 'a'+byte(i) {
			t.Errorf("client %d: %q, %v", i, buf[:n], err)
		}
	}
}

// TestServerLengths: a datagram that does not fit is not taken for a shorter
// one, and an empty one is one.
func TestServerLengths(t *testing.T) {
	s, b := listenOn(t, "127.0.0.1:0"), NewServerBatch(4)
	c := asking(t, s.Local())
	for _, test := range []struct{ sent, got int }{{MaxPayload, MaxPayload}, {MaxPayload + 1, 0}, {65507, 0}, {0, 0}, {48, 48}} {
		sent := bytes.Repeat([]byte{7}, test.sent)
		write(t, c, sent)
		receive(t, s, b, 1)
		if got := b.Datagram(0).Payload; len(got) != test.got || !bytes.Equal(got, sent[:test.got]) {
			t.Errorf("%d octets became %d", test.sent, len(got))
		}
	}
}

// TestServerGroups: what was sent to many is told apart.
func TestServerGroups(t *testing.T) {
	for _, test := range []struct{ listen, to string }{
		{"0.0.0.0:0", "127.255.255.255"},
		{"[::]:0", "127.255.255.255"},
	} {
		t.Run(test.listen+" "+test.to, func(t *testing.T) {
			s, b := listenOn(t, test.listen), NewServerBatch(4)
			c, err := net.ListenUDP("udp", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.WriteToUDPAddrPort([]byte("all"), toward(s, test.to)); err != nil {
				t.Skipf("no way to %s here: %v", test.to, err)
			}
			if _, err := c.WriteToUDPAddrPort([]byte("one"), toward(s, "127.0.0.1")); err != nil && test.listen == "0.0.0.0:0" {
				t.Fatal(err)
			}
			for got := 0; got < 2; {
				n, err := s.Receive(b)
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if d := b.Datagram(i); d.Group != (string(d.Payload) == "all") {
						t.Errorf("%q to %v: group %v", d.Payload, d.To, d.Group)
					}
				}
				got += n
			}
		})
	}
}

// TestServerDestinations reads the destinations that the kernel can name.
func TestServerDestinations(t *testing.T) {
	four := func(addr, local [4]byte) []byte {
		i := unix.Inet4Pktinfo{Ifindex: 1, Addr: addr, Spec_dst: local}
		return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&i)), unix.SizeofInet4Pktinfo))
	}
	six := func(addr string) []byte {
		i := unix.Inet6Pktinfo{Ifindex: 1, Addr: netip.MustParseAddr(addr).As16()}
		return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&i)), unix.SizeofInet6Pktinfo))
	}
	a, b := [4]byte{192, 0, 2, 1}, [4]byte{192, 0, 2, 255}
	for _, test := range []struct {
		level, kind int32
		data        []byte
		to          string
		group       bool
	}{
		{unix.IPPROTO_IP, unix.IP_PKTINFO, four(a, a), "192.0.2.1", false},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, four(b, a), "192.0.2.255", true},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, four([4]byte{224, 0, 1, 1}, a), "224.0.1.1", true},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, four(a, a)[:11], "invalid IP", false},
		{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, six("2001:db8::1"), "2001:db8::1", false},
		{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, six("ff02::101"), "ff02::101", true},
		{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, six("::ffff:192.0.2.1"), "invalid IP", false},
		{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, six("::1")[:19], "invalid IP", false},
		{unix.SOL_SOCKET, unix.IP_PKTINFO, four(a, a), "invalid IP", false},
	} {
		s := &NewServerBatch(1).slots[0]
		s.control(test.level, test.kind, test.data)
		if d := s.datagram; d.To.String() != test.to || d.Group != test.group {
			t.Errorf("%d/%d %x: to %v, group %v", test.level, test.kind, test.data, d.To, d.Group)
		}
		if (s.reply.length > 0) != (test.to != "invalid IP") {
			t.Errorf("%s: a reply with %d octets of control", test.to, s.reply.length)
		}
	}
}

// TestServerForgetsDestinations: a slot does not keep where an earlier request
// went.
func TestServerForgetsDestinations(t *testing.T) {
	b := NewServerBatch(1)
	s := &b.slots[0]
	s.reply.from4([4]byte{192, 0, 2, 1})
	s.datagram.To = netip.MustParseAddr("192.0.2.1")
	b.in[0].hdr.SetControllen(0)
	s.accept(&b.in[0])
	if s.reply.length != 0 || s.datagram.To.IsValid() {
		t.Errorf("%+v, reply %+v", s.datagram, s.reply)
	}
}

// TestServerSendFailures: a response that cannot be sent is counted and does
// not keep the next one.
func TestServerSendFailures(t *testing.T) {
	for _, single := range []bool{false, true} {
		s, b := listenOn(t, "127.0.0.1:0"), NewServerBatch(4)
		s.single = single
		c := asking(t, s.Local())
		for i := range 3 {
			write(t, c, []byte{byte(i)})
		}
		for got := 0; got < 3; {
			n, err := s.Receive(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if got+i == 1 {
					b.slots[i].name[0], b.slots[i].name[1] = 0xff, 0xff // no address family
				}
				b.Queue(i, append(b.Buffer(i), b.Datagram(i).Payload...))
			}
			want := 0
			if got <= 1 && 1 < got+n {
				want = 1
			}
			if failed := s.Send(b); failed != want {
				t.Errorf("single %v: %d failed", single, failed)
			}
			got += n
		}
		for _, want := range []byte{0, 2} {
			buf := make([]byte, 10)
			if n, err := c.Read(buf); err != nil || n != 1 || buf[0] != want {
				t.Errorf("single %v: %x, %v", single, buf[:n], err)
			}
		}
	}
}

// TestServerClose ends a Receive that waits.
func TestServerClose(t *testing.T) {
	s, b := listenOn(t, "127.0.0.1:0"), NewServerBatch(4)
	done := make(chan error)
	go func() {
		_, err := s.Receive(b)
		done <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := s.Receive(b); !errors.Is(err, os.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
	b.Queue(0, []byte("late"))
	if failed := s.Send(b); failed != 1 {
		t.Errorf("%d responses failed on a closed socket", failed)
	}
}

// TestServerDoesNotAllocate: neither receiving nor sending costs memory.
func TestServerDoesNotAllocate(t *testing.T) {
	s, b := listenOn(t, "0.0.0.0:0"), NewServerBatch(4)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.Local().Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	request, answer := make([]byte, 48), make([]byte, 100)
	n := testing.AllocsPerRun(200, func() {
		if _, err := unix.Write(fd, request); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Receive(b); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b.Queue(0, append(b.Buffer(0), b.Datagram(0).Payload...))
		if s.Send(b) != 0 {
			t.Fatal("not sent")
		}
		if n, err := unix.Read(fd, answer); n != 48 || err != nil {
			t.Fatal(n, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestServerDropped: what did not fit into the receive buffer is counted, and
// known as soon as something fits again.
func TestServerDropped(t *testing.T) {
	s := listenOn(t, "127.0.0.1:0")
	if err := s.raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	c, b := asking(t, toward(s, "127.0.0.1")), NewServerBatch(64)
	const sent = 50
	for range sent {
		write(t, c, make([]byte, 500))
	}
	fit, err := s.Receive(b)
	if err != nil || fit >= sent {
		t.Fatal(fit, err)
	}
	if n := s.Dropped(); n != 0 {
		t.Errorf("%d dropped before what fit", n)
	}
	write(t, c, []byte("another"))
	receive(t, s, b, 1)
	if n := s.Dropped(); n != uint32(sent-fit) {
		t.Errorf("%d dropped, want %d", n, sent-fit)
	}
	write(t, c, []byte("another"))
	receive(t, s, b, 1)
	if n := s.Dropped(); n != uint32(sent-fit) {
		t.Errorf("%d dropped, want %d", n, sent-fit)
	}
}

func setMTU(t *testing.T, name string, mtu uint32) {
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
	request.SetUint32(mtu)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, request); err != nil {
		t.Fatal(err)
	}
}

// TestServerFragments: a response may be as long as its request, which may be
// longer than the packets of the interface.
func TestServerFragments(t *testing.T) {
	if !testns.Inside(t, testns.Network, 0) {
		return
	}
	setUp(t, "lo")
	setMTU(t, "lo", 1280)
	s := listenOn(t, "127.0.0.1:0")
	c, b := asking(t, s.Local()), NewServerBatch(1)
	write(t, c, make([]byte, MaxPayload))
	receive(t, s, b, 1)
	b.Queue(0, make([]byte, MaxPayload))
	if failed := s.Send(b); failed != 0 {
		t.Fatal("not sent")
	}
	buf := make([]byte, 2*MaxPayload)
	if n, err := c.Read(buf); n != MaxPayload || err != nil {
		t.Error(n, err)
	}
}
