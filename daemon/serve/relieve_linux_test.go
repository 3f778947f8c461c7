package serve

import (
	"crypto/rand"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/server"
)

// flooded is a worker with a rate limit, whose windows end when the test says.
type flooded struct {
	*testing.T
	w       *worker
	next    byte // of the addresses that ask politely
	markers int  // what they sent
}

// from is a client with an address of its own.
func (f *flooded) from(addr string) *net.UDPConn {
	f.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(addr)}, net.UDPAddrFromAddrPort(at("127.0.0.1", f.w.socket.Local())))
	if err != nil {
		f.Skipf("no address %s here: %v", addr, err)
	}
	f.Cleanup(func() { c.Close() })
	return c
}

// settle serves until everything that was sent is dealt with: until a newcomer,
// who asks behind it, has its answer.
func (f *flooded) settle() {
	f.Helper()
	f.next++
	c, answer := f.from(netip.AddrFrom4([4]byte{127, 0, 77, f.next}).String()), make([]byte, 100)
	for range 10000 {
		if _, err := c.Write(request(4, 1)); err != nil { // again: the queue may have been full
			f.Fatal(err)
		}
		f.markers++
		if err := f.w.serve(); err != nil {
			f.Fatal(err)
		}
		// On this machine an answer that was sent is there.
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Microsecond)); err != nil {
			f.Fatal(err)
		}
		if _, err := c.Read(answer); err == nil {
			return
		}
	}
	f.Fatal("a newcomer gets no answer")
}

// decide ends a window, and lets no other one end by itself.
func (f *flooded) decide() {
	f.Helper()
	f.w.shed.began = 0
	f.settle()
	f.hold()
}

func (f *flooded) hold() { f.w.shed.began = boottime().Add(time.Hour) }

// received counts what reaches the worker of n datagrams from an address.
func (f *flooded) received(from string, n int, payload []byte) int {
	f.Helper()
	c, before := f.from(from), f.total()-f.markers
	for i := range n {
		if _, err := c.Write(payload); err != nil {
			f.Fatal(err)
		}
		if i%50 == 49 {
			f.settle()
		}
	}
	f.settle()
	return f.total() - f.markers - before
}

// total is how many datagrams the worker has judged.
func (f *flooded) total() (n int) {
	for _, v := range server.Verdicts() {
		n += int(f.w.counters.Verdict(v))
	}
	return n
}

// TestAFloodIsRefusedByTheKernel: when the queue of the socket runs over, the
// worker has the kernel refuse what is never answered and most of what comes
// from who is refused most; and when that is over, nothing.
func TestAFloodIsRefusedByTheKernel(t *testing.T) {
	limiter, err := server.NewRateLimiter(1<<16, time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, _ := one(t, realtime{})
	w.responder = server.New(server.Config{Versions: server.Version3And4, Limiter: limiter}, rand.Reader)
	f := &flooded{T: t, w: w}
	const n, attacker, neighbour = 200, "127.0.66.1", "127.0.66.2"
	good, short, answer := request(4, 1), make([]byte, 47), request(4, 1)
	short[0], answer[0] = good[0], good[0]&^7|4
	all := func(when string, least, most int, from string, payload []byte) {
		t.Helper()
		if got := f.received(from, n, payload); got < least || got > most {
			t.Errorf("%s: %d of %d datagrams of %d octets, mode %d, from %s are received", when, got, n, len(payload), payload[0]&7, from)
		}
	}
	f.hold()
	all("before", n, n, attacker, short)
	all("before", n, n, attacker, good)
	c := f.from(attacker)
	for range 50000 {
		if _, err := c.Write(good); err != nil {
			t.Fatal(err)
		}
	}
	f.settle()
	if w.socket.Dropped() == 0 {
		t.Skip("this kernel has room for all of the flood")
	}
	f.decide() // that the queue ran over: nobody is known yet
	all("in the flood", 0, 0, attacker, short)
	all("in the flood", 0, 0, attacker, answer)
	all("in the flood", n, n, attacker, good)
	f.decide() // who was refused
	all("when it is known", n/8, n/2, attacker, good)
	all("when it is known", n, n, neighbour, good)
	f.decide() // the filter dropped much
	all("as it goes on", n/8, n/2, attacker, good)
	f.decide()
	f.decide() // nothing was dropped any more
	all("afterwards", n, n, attacker, short)
	all("afterwards", n, n, attacker, good)
}
