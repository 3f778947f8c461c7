package main

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// hose sends datagrams to a server at a rate, each from an address of the loopback network that it names. Nobody reads
// the answers; that its port is open keeps ICMP errors from costing the server time.
type hose struct {
	conn *ipv4.PacketConn
	to   net.Addr
	stop <-chan struct{}
}

func floodSocket(t *scene.Trial, h *lab.Host) *hose {
	s := &hose{to: net.UDPAddrFromAddrPort(scene.At("127.0.0.1:123")), stop: t.Context.Done()}
	t.Check(h.Inside(func() error {
		conn, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		s.conn = ipv4.NewPacketConn(conn)
		return nil
	}))
	return s
}

// Senders at once, and datagrams that one system call sends.
const (
	pourers   = 2
	pourBatch = 64
)

// pour sends what next gives at a rate for a time and returns the rate that came of it.
func (s *hose) pour(rate float64, during time.Duration, next func(i int) (from [4]byte, payload []byte)) float64 {
	var total atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for k := range pourers {
		all.Go(func() {
			// A flood does not wait for its turn. The thread ends with this goroutine.
			runtime.LockOSThread()
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -15)
			batch := make([]ipv4.Message, pourBatch)
			for sent := 0; ; {
				elapsed := time.Since(begin)
				if elapsed >= during {
					return
				}
				due := min(int(rate*elapsed.Seconds())/pourers-sent, pourBatch)
				if due <= 0 {
					select {
					case <-s.stop:
						return
					case <-time.After(time.Millisecond):
					}
					continue
				}
				for j := range due {
					from, payload := next((sent+j)*pourers + k)
					batch[j] = ipv4.Message{Buffers: [][]byte{payload}, OOB: unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from}), Addr: s.to}
				}
				n, err := s.conn.WriteBatch(batch[:due], 0)
				if err == nil {
					total.Add(int64(n)) // what the kernel does not take is not sent
				}
				sent += due
			}
		})
	}
	all.Wait()
	return float64(total.Load()) / time.Since(begin).Seconds()
}
