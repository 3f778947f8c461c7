package serve

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// BenchmarkSocket answers requests over the loopback interface; the time
// includes that of a client with a number of requests under way.
func BenchmarkSocket(b *testing.B) {
	cfg := config(b, realtime{}, listening("127.0.0.1:0"))
	for _, test := range []struct {
		name     string
		payload  []byte
		underWay int
	}{
		{"plain/1", request(4, 1), 1},
		{"plain/32", request(4, 1), 32},
		{"nts/1", protected(b, cfg.Keys.Load()), 1},
		{"nts/32", protected(b, cfg.Keys.Load()), 32},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := start(b, cfg)
			fd := connected(b, s.Addrs()[0])
			answer := make([]byte, 2048)
			b.ReportAllocs()
			b.ResetTimer()
			for sent, got := 0, 0; got < b.N; {
				for ; sent < b.N && sent-got < test.underWay; sent++ {
					if _, err := unix.Write(fd, test.payload); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := unix.Read(fd, answer); err != nil {
					b.Fatal(err)
				}
				got++
			}
			b.StopTimer()
			if got := s.Stats()[0]; got.AcceptedPackets != uint64(b.N) {
				b.Errorf("%+v", got)
			}
		})
	}
}

// BenchmarkWorkers lets two workers answer at one address, and as many clients as
// there are processors ask, each with its own port. Its mutex and block profiles
// show what workers wait for; "make contention" prints them.
func BenchmarkWorkers(b *testing.B) {
	cfg := config(b, realtime{}, listening("127.0.0.1:0"))
	cfg.Sections[0].Workers = 2
	for _, test := range []struct {
		name    string
		payload []byte
	}{
		{"plain", request(4, 1)},
		{"nts", protected(b, cfg.Keys.Load())},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := start(b, cfg)
			b.SetParallelism(8) // clients a processor, so that both workers get some
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				fd := connected(b, s.Addrs()[0])
				answer := make([]byte, 2048)
				for pb.Next() {
					_, err := unix.Write(fd, test.payload)
					for err == nil {
						if _, err = unix.Read(fd, answer); err != unix.EINTR {
							break
						}
						err = nil // the runtime's own signals
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// connected opens a blocking client socket, whose use costs no allocation.
func connected(t testing.TB, to netip.AddrPort) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestAnsweringDoesNotAllocate, from the socket back to it.
func TestAnsweringDoesNotAllocate(t *testing.T) {
	w, _ := one(t, realtime{})
	fd := connected(t, at("127.0.0.1", w.socket.Local()))
	payload, answer := request(4, 1), make([]byte, 100)
	n := testing.AllocsPerRun(200, func() {
		if _, err := unix.Write(fd, payload); err != nil {
			t.Fatal(err)
		}
		if err := w.serve(); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, answer); n != proto.HeaderLen || err != nil {
			t.Fatal(n, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.counters.Verdict(server.Accepted) == 0 {
		t.Error("nothing was answered")
	}
}
