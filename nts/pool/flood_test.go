package pool

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// flooded is what became of clients in a flood.
type flooded struct {
	crowd           atomic.Int64 // that were served
	asked, served   int          // of the others
	last            time.Duration
	shed, handshake uint64
}

// flood runs a pool on a machine with one processor, on which a handshake takes
// 20 ms, while a crowd of one network comes again and again and one client at a
// time from another. The processor serves whoever comes first, as they do.
func flood(t *testing.T, handshakes int) *flooded {
	f := new(flooded)
	synctest.Test(t, func(t *testing.T) {
		const (
			cost    = 20 * time.Millisecond
			crowd   = 300
			seconds = 6
		)
		w := newWorld(t)
		w.add(func(s *source) { s.keep = true })
		w.change = func(c *Config) {
			c.Handshakes = handshakes
			c.Balancers = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} // all come by way of it
			processor := make(chan bool, 1)
			config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				processor <- true
				time.Sleep(cost)
				<-processor
				return &w.own.TLS, nil
			}}
			c.TLS = func() *tls.Config { return config }
		}
		w.start()
		time.Sleep(time.Second) // the source is known
		come := func(from string) bool {
			conn, err := w.net.Dial(t.Context(), "tcp", poolAddr)
			if err != nil {
				t.Error(err)
				return false
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(DefaultTimeout))
			conn.Write(proxyV4(from))
			c := tls.Client(conn, w.clientTLS())
			if _, err := c.Write(fromHex(ordinary + eom)); err != nil {
				return false
			}
			answer, err := io.ReadAll(c)
			if err != nil {
				return false
			}
			resp, err := nts.DecodeResponse(answer)
			_, ok := resp.(nts.Established)
			return ok && err == nil
		}
		until := time.Now().Add(seconds * time.Second)
		for i := range crowd {
			w.running.Go(func() {
				for time.Now().Before(until) {
					if come(fmt.Sprintf("203.0.113.%d:1", 1+i%250)) {
						f.crowd.Add(1)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for time.Now().Before(until) {
			time.Sleep(250 * time.Millisecond)
			began := time.Now()
			f.asked++
			if come("192.0.2.77:1") {
				f.served++
				f.last = max(f.last, time.Since(began))
			}
		}
		time.Sleep(2 * DefaultTimeout)
		s := w.pool.Status()
		f.shed, f.handshake = s.Outcomes[Shed.String()], s.Outcomes[HandshakeFailed.String()]
		w.end()
	})
	return f
}

// A flood of handshakes from one network makes nobody else wait, and is itself
// served as much as the machine can: many clients may stand behind one address.
func TestFloodStarvesNobody(t *testing.T) {
	f := flood(t, 1)
	if f.asked < 20 || f.served != f.asked || f.last > 100*time.Millisecond {
		t.Errorf("%d of %d others were served, the last after %v", f.served, f.asked, f.last)
	}
	if n := f.crowd.Load(); n < 200 {
		t.Errorf("%d of the crowd were served", n)
	}
	if f.shed == 0 || f.handshake != 0 {
		t.Errorf("%d were turned away, and %d had to give up", f.shed, f.handshake)
	}
}

// The control: if handshakes take no turns, the same flood starves the others,
// and most of itself.
func TestFloodWithoutTurns(t *testing.T) {
	if f := flood(t, 1<<20); f.served*2 > f.asked || f.handshake == 0 {
		t.Errorf("%d of %d others were served, and %d gave up: the flood is none", f.served, f.asked, f.handshake)
	}
}
