package clocktest

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// World is a machine whose time passes when it is told to. It has the clocks
// of Linux: CLOCK_REALTIME, which can be set, and CLOCK_MONOTONIC, which
// cannot, run at a rate that can be chosen; CLOCK_BOOTTIME is CLOCK_MONOTONIC
// and the time that the machine was suspended; nothing touches
// CLOCK_MONOTONIC_RAW. It implements clock.Times.
type World struct {
	mu     sync.Mutex
	cost   time.Duration
	raw    int64 // ns
	mono   int64 // ns
	part   uint64
	slept  int64 // ns
	set    int64 // CLOCK_REALTIME − CLOCK_MONOTONIC, ns
	rate   int64 // of CLOCK_REALTIME, in RateUnit
	timers []*timer
}

// RateUnit is the resolution of a world's rate, s/s: that of Linux, parts per
// million with 16 bits of fraction.
const RateUnit = 1e-6 / (1 << 16)

// rateOne is the rate 1 in RateUnit.
const rateOne = 1_000_000 << 16

type timer struct {
	due int64 // on CLOCK_MONOTONIC
	f   func()
}

// NewWorld makes a machine that was started 1000 s ago and whose clock is
// right.
func NewWorld(at time.Time) *World {
	const up = 1000 * int64(time.Second)
	return &World{raw: up, mono: up, set: at.UnixNano() - up}
}

// SetCost makes every reading of a clock take time.
func (w *World) SetCost(d time.Duration) { w.do(func() { w.cost = d }) }

func (w *World) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// read lets the cost of a reading pass and then reads.
func (w *World) read(clock func() int64) (v int64) {
	w.do(func() { w.pass(int64(w.cost)); v = clock() })
	return v
}

// Real reads CLOCK_REALTIME.
func (w *World) Real() proto.Timestamp {
	return proto.FromUnix(0, w.read(func() int64 { return w.mono + w.slept + w.set }))
}

// Raw reads CLOCK_MONOTONIC_RAW.
func (w *World) Raw() proto.Raw { return proto.Raw(w.read(func() int64 { return w.raw })) }

// Boot reads CLOCK_BOOTTIME.
func (w *World) Boot() proto.Instant {
	return proto.Instant(w.read(func() int64 { return w.mono + w.slept }))
}

// Mono reads CLOCK_MONOTONIC.
func (w *World) Mono() time.Duration {
	return time.Duration(w.read(func() int64 { return w.mono }))
}

// Set moves CLOCK_REALTIME.
func (w *World) Set(by time.Duration) { w.do(func() { w.set += int64(by) }) }

// SetRate chooses how fast CLOCK_REALTIME and CLOCK_MONOTONIC run against
// CLOCK_MONOTONIC_RAW, in RateUnit.
func (w *World) SetRate(units int64) { w.do(func() { w.rate = units }) }

// Suspend stops the machine for a while.
func (w *World) Suspend(d time.Duration) { w.do(func() { w.slept += int64(d) }) }

// Advance lets time pass on CLOCK_MONOTONIC_RAW and calls the timers that come
// due on the way.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := w.raw + int64(d); ; {
		next, wait := w.next()
		if next == nil || w.raw+wait > end {
			w.pass(end - w.raw)
			return
		}
		w.pass(wait)
		w.forget(next)
		w.mu.Unlock()
		next.f()
		w.mu.Lock()
	}
}

// next is the timer that comes due first, and how long that takes.
func (w *World) next() (*timer, int64) {
	if len(w.timers) == 0 {
		return nil, 0
	}
	t := slices.MinFunc(w.timers, func(a, b *timer) int { return int(a.due - b.due) })
	least, most := int64(0), 2*max(t.due-w.mono, 0)
	for least < most {
		half := (least + most) / 2
		if mono, _ := w.after(half); mono < t.due {
			least = half + 1
		} else {
			most = half
		}
	}
	return t, least
}

// pass lets time pass on CLOCK_MONOTONIC_RAW.
func (w *World) pass(d int64) {
	w.mono, w.part = w.after(d)
	w.raw += d
}

// after is CLOCK_MONOTONIC when d has passed, with the part of a nanosecond
// that it has done of the next.
func (w *World) after(d int64) (mono int64, part uint64) {
	hi, lo := bits.Mul64(uint64(d), uint64(rateOne+w.rate))
	lo, carry := bits.Add64(lo, w.part, 0)
	q, r := bits.Div64(hi+carry, lo, rateOne)
	return w.mono + int64(q), r
}

// AfterFunc calls f when d has passed on CLOCK_MONOTONIC.
func (w *World) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &timer{due: w.mono + int64(d), f: f}
	w.timers = append(w.timers, t)
	return func() (pending bool) {
		w.do(func() { pending = w.forget(t) })
		return pending
	}
}

// forget takes a timer away and reports whether it was there.
func (w *World) forget(t *timer) bool {
	i := slices.Index(w.timers, t)
	if i < 0 {
		return false
	}
	w.timers = slices.Delete(w.timers, i, i+1)
	return true
}

// Timers is how many timers wait.
func (w *World) Timers() (n int) {
	w.do(func() { n = len(w.timers) })
	return n
}
