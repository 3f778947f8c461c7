package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/client"
	"github.com/ntpd-go/ntpd-go/proto/khronos"
)

// Watchdog is a large pool that is asked now and then whether the clock is
// where it should be. See package khronos.
type Watchdog struct {
	Host string // name of the pool; empty for no watchdog
	Port uint16
	Hold bool // leave the clock alone while the pool disagrees with the sources
}

// Times of the watchdog.
const (
	watchInterval = time.Hour
	watchSoon     = 15 * time.Minute // after a round that said nothing, or an alarm
	watchAgain    = 2 * time.Second  // after a round that disagreed
	watchLearn    = 64 * time.Second // between look-ups while few servers are known
	watchWindow   = 6 * time.Second  // an exchange is over by then
)

// watchVain is how many tries in a row say nothing, at least watchSoon apart,
// before that is worth a warning: three hours. Whoever can silence the pool
// must not thereby silence the watchdog.
const watchVain = 12

// watchdog drives a khronos.Watchdog.
type watchdog struct {
	khronos.Watchdog
	lookup RequestID
	learn  proto.Instant // the next look-up
	due    proto.Instant // the next round
	ends   proto.Instant // of the round that runs
	probes []*probe      // of the round that runs
	alarm  bool
	mean   proto.Duration // pool minus clock, at the alarm
	vain   int            // tries in a row that said nothing
	counts proto.Instant  // the next such try counts from then on
	failed Failure        // of the last look-up
}

// probe is one request to one server of the pool.
type probe struct {
	addr     netip.AddrPort
	assoc    *client.Association
	exchange ExchangeID // 0 when it is over
	measured bool
	offset   proto.Duration // the server's time minus the clock
}

// guard does what is due for the watchdog.
func (e *Engine) guard() {
	w := &e.watchdog
	if e.cfg.Watchdog.Host == "" || e.halted {
		return
	}
	if w.lookup == 0 && e.now.Mono >= w.learn {
		w.lookup = e.request()
		w.learn = e.now.Mono.Add(watchInterval)
		if w.Known() < 2*khronos.MinPool {
			w.learn = e.now.Mono.Add(watchLearn)
		}
		e.emit(Lookup{Request: w.lookup, Host: e.cfg.Watchdog.Host})
	}
	switch {
	case len(w.probes) > 0 && (e.now.Mono >= w.ends || w.answered()):
		e.judgeRound()
	case len(w.probes) == 0 && e.now.Mono >= w.due && e.serving.synced && e.steering.id == 0:
		e.beginRound()
	}
}

func (w *watchdog) answered() bool {
	for _, p := range w.probes {
		if p.exchange != 0 {
			return false
		}
	}
	return true
}

func (e *Engine) watchDeadline() proto.Instant {
	w := &e.watchdog
	switch {
	case e.cfg.Watchdog.Host == "":
		return proto.Never
	case len(w.probes) > 0:
		return w.ends
	}
	d := w.due
	if !e.serving.synced || e.steering.id != 0 {
		d = proto.Never
	}
	if w.lookup == 0 {
		d = min(d, w.learn)
	}
	return d
}

// beginRound asks a sample.
func (e *Engine) beginRound() {
	w := &e.watchdog
	drawn, err := w.Draw(e.entropy)
	if err != nil {
		e.noRandomness(err)
		return
	}
	if len(drawn) == 0 {
		w.due = max(w.learn, e.now.Mono.Add(watchLearn))
		e.seesNothing(fmt.Sprintf("only %d servers of it are known, and it takes %d%s", w.Known(), khronos.MinPool, w.failed.because()))
		return
	}
	w.ends = e.now.Mono.Add(watchWindow)
	for _, a := range drawn {
		p := &probe{addr: netip.AddrPortFrom(a, e.cfg.Watchdog.Port)}
		p.assoc = client.New(client.Config{PollMin: 10, PollMax: 10, PollStart: 10}, nil, nil, e.now, e.entropy)
		o, err := p.assoc.Advance(e.now, 10, false)
		if err != nil {
			e.noRandomness(err)
			return
		}
		e.lastExchange++
		p.exchange = e.lastExchange
		w.probes = append(w.probes, p)
		e.emit(Send{Exchange: p.exchange, To: p.addr, Payload: o.Request})
	}
}

// probed takes in what happened to a probe. It reports whether the exchange is
// one of the watchdog's.
func (e *Engine) probed(id ExchangeID, happened func(*probe) client.Outcome) bool {
	for _, p := range e.watchdog.probes {
		if id == 0 || p.exchange != id {
			continue
		}
		o := happened(p)
		p.take(o)
		if o.Closed {
			e.emit(Abandon{Exchange: p.exchange})
			p.exchange = 0
		}
		return true
	}
	return false
}

func (p *probe) take(o client.Outcome) {
	if o.Measured {
		m := o.Measurement
		p.measured, p.offset = true, m.T2.Sub(m.T1.At)/2+m.T3.Sub(m.T4.At)/2
	}
}

// endRound closes what is open and returns what was measured.
func (e *Engine) endRound() (offsets []proto.Duration) {
	for _, p := range e.watchdog.probes {
		if p.exchange != 0 {
			e.emit(Abandon{Exchange: p.exchange})
		}
		if p.measured {
			offsets = append(offsets, p.offset)
		}
	}
	e.watchdog.probes = nil
	return offsets
}

// judgeRound says what the round says.
func (e *Engine) judgeRound() {
	w := &e.watchdog
	for _, p := range w.probes {
		if o, err := p.assoc.Advance(e.now, 10, false); err == nil && p.exchange != 0 {
			p.take(o) // it waited for its transmit timestamp
		}
	}
	offsets := e.endRound()
	v, mean := w.Judge(offsets)
	wait := watchSoon
	switch v {
	case khronos.Again, khronos.Everyone:
		wait = watchAgain
	case khronos.Agrees:
		wait = watchInterval
		e.sees()
		if w.alarm {
			w.alarm = false
			e.report(Incident{Level: Info, Code: "watchdog-well", Text: "the clock is where the pool of the watchdog is again"})
		}
	case khronos.Alarm:
		what := "the clock goes on following its sources"
		if e.cfg.Watchdog.Hold {
			what = "the clock is left alone until the sources agree with the pool"
		}
		w.alarm, w.mean = true, mean
		e.sees()
		e.report(Incident{
			Level: Error, Code: "watchdog-alarm",
			Text: fmt.Sprintf("%d servers of %s put the clock off by %v; the sources may all be in one hand: check them. %s", len(offsets), e.cfg.Watchdog.Host, mean, what),
		})
	case khronos.Unknown:
		e.seesNothing(fmt.Sprintf("only %d of the servers of it that were asked answered; check the network and firewalls (UDP port %d)", len(offsets), e.cfg.Watchdog.Port))
	}
	w.due = e.now.Mono.Add(wait)
}

// seesNothing counts a try that said nothing, and says so when there were many.
func (e *Engine) seesNothing(why string) {
	w := &e.watchdog
	if e.now.Mono < w.counts {
		return
	}
	w.counts = e.now.Mono.Add(watchSoon)
	if w.vain++; w.vain != watchVain {
		return
	}
	meaning := "meanwhile nobody checks the sources"
	switch {
	case w.alarm && e.cfg.Watchdog.Hold:
		meaning = "the clock stays held, as it was not where the pool was when that last answered"
	case e.cfg.Watchdog.Hold:
		meaning = "meanwhile nobody checks the sources, and the clock is not held, whatever they say"
	}
	e.report(Incident{
		Level: Warn, Code: "watchdog-blind",
		Text: fmt.Sprintf("the watchdog has not been able to judge the clock by %s for %d tries: %s. %s", e.cfg.Watchdog.Host, w.vain, why, meaning),
	})
}

// sees notes that a try said something.
func (e *Engine) sees() {
	w := &e.watchdog
	if w.vain >= watchVain {
		e.report(Incident{Level: Info, Code: "watchdog-sees", Text: "the watchdog can judge the clock again"})
	}
	w.vain = 0
}

// because is the end of a sentence that says why something is missing.
func (f Failure) because() string {
	if !f.Failed() {
		return ""
	}
	return ": " + f.Text
}

// held reports whether the watchdog keeps the clock from being corrected: while
// the pool disagrees with the clock, only what brings it to where the pool is.
func (e *Engine) held() bool {
	return e.watchdog.alarm && e.cfg.Watchdog.Hold &&
		(e.discipline.Estimate(e.now).Offset-e.watchdog.mean).Abs() > khronos.MaxError
}

// watched takes in an answer of the resolver, if it is the watchdog's. This
// daemon would agree with itself, so it is no witness.
func (e *Engine) watched(ev LookedUp) {
	w := &e.watchdog
	if w.lookup == 0 || ev.Request != w.lookup {
		return
	}
	w.lookup, w.failed = 0, ev.Failure
	w.Learn(slices.DeleteFunc(slices.Clone(ev.Addrs), func(a netip.Addr) bool {
		return !usable(a) || e.ourselves(netip.AddrPortFrom(a, e.cfg.Watchdog.Port))
	}))
}

// rewatch begins anew with another pool.
func (e *Engine) rewatch(before Watchdog) {
	if e.cfg.Watchdog == before {
		return
	}
	e.endRound()
	e.watchdog = watchdog{}
}
