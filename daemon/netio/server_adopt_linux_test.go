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
