package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

func (w *world) leg(i int) *leg { return (*w.pool.broker.members.Load())[i].legs[ipv4] }

func (w *world) take(l *leg, d nts.Dialect) *upstreamConn {
	w.t.Helper()
	c, err := l.take(w.t.Context(), netip.Prefix{}, d, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// Connections rest if the source is to keep them. Those beyond the first go
// soon.
func TestWhichConnectionRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		l := w.leg(0)
		rests := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := s.openNow(); n != want || l.slots.Taken() != 0 {
				t.Errorf("%d connections are open, want %d; %d slots are taken", n, want, l.slots.Taken())
			}
		}
		w.take(l, nts.IANA).done(nts.NoDialect)
		rests(0)
		a, b := w.take(l, nts.IANA), w.take(l, nts.IANA)
		a.done(nts.IANA)
		b.done(nts.IANA)
		rests(2)
		if c, d := w.take(l, nts.IANA), w.take(l, nts.IANA); c != b || d != a || !c.reused || !d.reused {
			t.Error("the connections that rested are not used, the last first")
		} else {
			d.done(nts.IANA)
			c.done(nts.IANA)
		}
		time.Sleep(spareMax + time.Second)
		rests(1)
		// In another dialect it is of no use.
		if c := w.take(l, nts.Draft); c.reused || c.dialect != nts.Draft {
			t.Error("a connection changed its dialect")
		} else {
			c.done(nts.Draft)
		}
		rests(1)
		// What the watch has seen something on is not used, however late it
		// says so.
		c := w.take(l, nts.Draft)
		c.alive = make(chan bool, 1)
		c.alive <- false
		l.idle = append(l.idle, c)
		l.slots.Pass()
		if d := w.take(l, nts.Draft); d == c || d.reused {
			t.Error("a dead connection is used")
		} else {
			l.renew() // while it is in use
			d.done(nts.Draft)
		}
		rests(1) // that of the question with which all begins anew
		e, f := w.take(l, nts.IANA), w.take(l, nts.IANA)
		if !e.reused || f.reused {
			t.Error("what was before the renewal is used")
		}
		e.done(nts.IANA)
		l.retire()
		f.done(nts.IANA)
		rests(0)
	})
}

// A crowd leaves no more connections than may be in use at once.
func TestConnectionsThatRestAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		l := w.leg(0)
		for range 3 {
			var held []*upstreamConn
			for range inFlight {
				held = append(held, w.take(l, nts.IANA))
			}
			for _, c := range held {
				c.done(nts.IANA)
			}
		}
		synctest.Wait()
		if accepted, _ := s.connections(); accepted != inFlight || s.openNow() != inFlight {
			t.Errorf("%d connections, of which %d are open", accepted, s.openNow())
		}
	})
}

func TestSlotsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		l := w.leg(0)
		var held []*upstreamConn
		for range inFlight {
			held = append(held, w.take(l, nts.IANA))
		}
		began := time.Now()
		if _, err := l.take(t.Context(), netip.Prefix{}, nts.IANA, slotWait); !errors.Is(err, errBusy) || time.Since(began) != slotWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.AfterFunc(time.Millisecond, func() { held[0].close() })
		c, err := l.take(t.Context(), netip.Prefix{}, nts.IANA, slotWait)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(held[1:], c) {
			c.close()
		}
	})
}

// A crowd of one network that waits for a source delays a client of another by
// one exchange, and not by all of theirs.
func TestSlotsGoRoundNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.keep = true })
		w.start()
		l := w.leg(0)
		var held []*upstreamConn
		for range inFlight {
			held = append(held, w.take(l, nts.IANA))
		}
		var order []string
		come := func(name, network string) {
			go func() {
				c, err := l.take(t.Context(), netip.MustParsePrefix(network), nts.IANA, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				c.done(nts.IANA)
			}()
			synctest.Wait()
		}
		for range 3 {
			come("crowd", "192.0.2.0/24")
		}
		come("one", "198.51.100.0/24")
		held[0].done(nts.IANA)
		synctest.Wait()
		if want := []string{"crowd", "one", "crowd", "crowd"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		for _, c := range held[1:] {
			c.close()
		}
	})
}

// A source that is known, and then does not answer connections any more, costs
// a client a second.
func TestSourceThatFellSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad, good := w.add(), w.add()
		w.start()
		time.Sleep(time.Second)
		w.die(bad)
		w.net.Silence(bad.addr)
		began := time.Now()
		if got, err := w.exchange(); err != nil || got.Server != good.name || time.Since(began) > prepareTimeout {
			t.Errorf("%v, %v after %v", got.Server, err, time.Since(began))
		}
		began = time.Now()
		if got, err := w.exchange(); err != nil || got.Server != good.name || time.Since(began) > time.Millisecond {
			t.Errorf("%v, %v after %v", got.Server, err, time.Since(began))
		}
	})
}

// A source that is down is not asked on behalf of a client.
func TestDownIsLeftToItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add()
		w.start()
		l := w.leg(0)
		cause := &ke.Error{Class: ke.ClassRefused}
		l.failed(cause)
		before := w.dials(s)
		if _, _, err := l.supports(t.Context()); !errors.Is(err, cause) || w.dials(s) != before {
			t.Errorf("%v after %d connections", err, w.dials(s)-before)
		}
	})
}

func TestSuspicionGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		l := w.leg(0)
		suspectedFor := func(least, most time.Duration) {
			t.Helper()
			if d := time.Until(l.suspect); d < least*3/4 || d > most*5/4 {
				t.Errorf("suspected for %v", d)
			}
		}
		for range 4 {
			l.spoiled(errNoCommon)
		}
		suspectedFor(8*suspectMin, 8*suspectMin)
		l.worked()
		if h := healthOf(l); h != healthy {
			t.Errorf("after it worked: %v", h)
		}
		l.spoiled(errNoCommon)
		suspectedFor(suspectMin, suspectMin)
		for range 100 {
			l.spoiled(errNoCommon)
		}
		suspectedFor(suspectMax, suspectMax)
	})
}

func TestDialectMemory(t *testing.T) {
	m := newMember(Source{Domain: "ke.example", Port: 1}, nil)
	if m.dialect() != nts.IANA {
		t.Errorf("begins with %v", m.dialect())
	}
	m.cannotTell()
	m.otherDialect(nts.IANA)
	m.otherDialect(nts.IANA) // both families were refused at once
	if m.dialect() != nts.Draft || !m.tellsNames() {
		t.Errorf("goes on with %v, tells names: %v", m.dialect(), m.tellsNames())
	}
	m.otherDialect(nts.Draft)
	m.otherDialect(nts.ClientCertificate)
	if m.dialect() != nts.IANA {
		t.Errorf("begins again with %v", m.dialect())
	}
}

// What was learnt of a source outlives a change of its weight.
func TestSourcesInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.server.NTPServer, s.nameless = "ntp.example.net", true })
		w.start()
		if _, err := w.exchange(); err != nil {
			t.Fatal(err)
		}
		heavier := s.asSource()
		heavier.Weight = 2
		if err := w.pool.SetSources([]Source{heavier, heavier}); err != nil {
			t.Fatal(err)
		}
		if n := len(*w.pool.broker.members.Load()); n != 1 {
			t.Errorf("%d sources", n)
		}
		w.wantDenied("ntp.example.net")
	})
}

// Two requests that fall on one place of the table are not taken for one.
func TestRepeatsCollide(t *testing.T) {
	r := newRepeats()
	from, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	q := func(i int) nts.KeyExchange {
		return nts.KeyExchange{Deny: nts.DenyInEveryDialect([]string{fmt.Sprintf("s%d.example", i)})}
	}
	first := r.fingerprint(from, q(0))
	i := 1
	for ; r.fingerprint(from, q(i))%repeatTable != first%repeatTable; i++ {
	}
	for range repeatMost {
		r.excessive(from, q(0), now)
	}
	if r.excessive(from, q(i), now) {
		t.Error("another request pays for the first")
	}
	if r.fingerprint(netip.MustParseAddr("192.0.2.9"), q(0)) != first || r.fingerprint(netip.MustParseAddr("192.0.3.1"), q(0)) == first {
		t.Error("networks are told apart wrongly")
	}
}
