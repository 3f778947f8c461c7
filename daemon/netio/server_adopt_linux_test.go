package netio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that others opened is served on as our own, and is theirs again when
// we close it: to shut it down would end it for the next daemon.
func TestAnAdoptedSocketOutlivesUs(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			p, err := net.ListenPacket("udp", listen)
			if err != nil {
				t.Skip(err)
			}
			defer p.Close()
			f, err := p.(*net.UDPConn).File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for range 2 {
				s, err := AdoptServer(f)
				if err != nil {
					t.Fatal(err)
				}
				local := netip.MustParseAddrPort(p.LocalAddr().String())
				if s.Local() != local {
					t.Errorf("serves %v, not %v", s.Local(), local)
				}
				to := "127.0.0.1"
				if local.Addr() == netip.IPv6Loopback() {
					to = "::1"
				}
				c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(to), local.Port()).String())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write([]byte("question")); err != nil {
					t.Fatal(err)
				}
				b := NewServerBatch(4)
				n, err := s.Receive(b)
				if err != nil || n != 1 || string(b.Datagram(0).Payload) != "question" || b.Datagram(0).Group {
					t.Fatalf("%d requests, %+v, %v", n, b.Datagram(0), err)
				}
				b.Queue(0, []byte("answer"))
				if failed := s.Send(b); failed > 0 {
					t.Fatal("no answer is sent")
				}
				answer := make([]byte, 16)
				if n, err := c.Read(answer); string(answer[:n]) != "answer" {
					t.Errorf("%q, %v", answer[:n], err)
				}
				c.Close()
				waits := make(chan error)
				go func() {
					_, err := s.Receive(b)
					waits <- err
				}()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := <-waits; !errors.Is(err, os.ErrClosed) {
					t.Errorf("whoever waits for a closed socket gets %v", err)
				}
			}
		})
	}
	pipe, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AdoptServer(pipe); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("a pipe: %v", err)
	}
}

// The next daemon takes a socket over before the last one ends: it goes on to
// answer, those who asked before too, and whoever opened the socket can send and
// wait on it as before.
func TestTheNextDaemonTakesASocketOver(t *testing.T) {
	p, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f, err := p.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var daemons [2]*ServerSocket
	for i := range daemons {
		if daemons[i], err = AdoptServer(f); err != nil {
			t.Fatal(err)
		}
		defer daemons[i].Close()
	}
	c := asking(t, p.LocalAddr().(*net.UDPAddr).AddrPort())
	write(t, c, []byte("asked before"))
	if err := daemons[0].Close(); err != nil {
		t.Error(err)
	}
	b, answer := NewServerBatch(4), make([]byte, 16)
	receive(t, daemons[1], b, 1)
	b.Queue(0, []byte("answered after"))
	if failed := daemons[1].Send(b); failed > 0 {
		t.Fatal("the next daemon sends no answer")
	}
	if n, err := c.Read(answer); string(answer[:n]) != "answered after" {
		t.Errorf("%q, %v", answer[:n], err)
	}
	if err := daemons[1].Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.WriteTo([]byte("the owner"), c.LocalAddr()); err != nil {
		t.Errorf("its owner cannot send: %v", err)
	} else if n, err := c.Read(answer); string(answer[:n]) != "the owner" {
		t.Errorf("%q, %v", answer[:n], err)
	}
	// A socket that was ended has nothing to wait for: it says so at once.
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var nothing error
	if err := raw.Control(func(fd uintptr) {
		_, _, nothing = unix.Recvfrom(int(fd), answer, unix.MSG_DONTWAIT)
	}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(nothing, unix.EAGAIN) {
		t.Errorf("there is nothing to wait for on the socket: %v", nothing)
	}
}
