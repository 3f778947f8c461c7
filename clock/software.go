package clock

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

const (
	// softwareReach is how far a software clock can be steered away from the
	// rate of its oscillator, s/s.
	softwareReach = 1.0 / 8
	// softwareUnit is its resolution, that of proto.Scale, s/s.
	softwareUnit = 1.0 / (1 << 48)
)

// Software is a clock that is disciplined in user space. It counts on
// CLOCK_MONOTONIC_RAW, which nobody can set or slew, and leaves the machine's
// clock alone: it needs no privilege, works in a container, and keeps its time
// whatever happens to CLOCK_REALTIME. Its arithmetic is in integers. It stands
// still while the machine is suspended.
type Software struct {
	times Times
	drift int64 // what Options.Frequency adds to every rate, as Scale.Rate

	line   atomic.Pointer[segments]
	seen   atomic.Pointer[pair] // the last one that was read
	status atomic.Pointer[engine.ClockStatus]

	mu     sync.Mutex // one adjustment at a time
	base   int64      // base frequency, as Scale.Rate
	closed bool
}

// SoftwareOptions let a software clock begin wrong, for demonstrations and
// tests. The zero value starts it at the time of CLOCK_REALTIME.
type SoftwareOptions struct {
	Offset    proto.Duration // begin this far ahead of CLOCK_REALTIME
	Frequency float64        // how fast the oscillator runs, s/s, within ±1/8
	Times     Times          // nil is Machine()
}

// NewSoftware starts a software clock.
func NewSoftware(o SoftwareOptions) (*Software, error) {
	if !(math.Abs(o.Frequency) <= softwareReach) {
		return nil, fmt.Errorf("a clock cannot be wrong by %v s/s: choose at most %v", o.Frequency, softwareReach)
	}
	c := &Software{times: o.Times, drift: proto.Rate(o.Frequency)}
	if c.times == nil {
		c.times = Machine()
	}
	p := readPair(c.times)
	c.seen.Store(&p)
	c.line.Store(&segments{{Raw: p.raw, At: p.real.Add(o.Offset), Rate: c.drift}})
	c.status.Store(&engine.ClockStatus{Leap: proto.LeapUnsynchronised})
	return c, nil
}

// Now reads the clock. It does not fail.
func (c *Software) Now() (proto.Timestamp, error) {
	// The raw clock first: an adjustment meanwhile begins behind it.
	raw := c.times.Raw()
	return c.line.Load().time(raw), nil
}

// Scale is the segment that is valid now. A slew that ends begins another
// segment.
func (c *Software) Scale() proto.Scale {
	raw := c.times.Raw()
	return c.line.Load().at(raw)
}

// Status is what SetStatus was told last.
func (c *Software) Status() engine.ClockStatus { return *c.status.Load() }

// SetStatus keeps the status; nobody else has to know.
func (c *Software) SetStatus(s engine.ClockStatus) error {
	c.status.Store(&s)
	return nil
}

// Apply carries out an adjustment. A slew needs nobody to end it: its end is a
// segment too, which begins when the clock has gone on for as long as the slew
// takes.
func (c *Software) Apply(a kalman.Adjustment) (kalman.Applied, error) {
	if err := check(&a); err != nil {
		return kalman.Applied{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return kalman.Applied{}, ErrClosed
	}
	p := limit(&a, softwareUnit, softwareReach)
	mono, raw, _ := bracket(c.times.Raw, c.times.Boot)
	out := kalman.Applied{At: c.steer(raw, a.Step, p), Mono: mono, Adjustment: p.applied(softwareUnit)}
	out.Step = a.Step
	return out, nil
}

// steer lets the clock run as planned from a raw instant on and returns its
// time there.
func (c *Software) steer(raw proto.Raw, step proto.Duration, p plan) proto.Timestamp {
	c.base = p.base
	line := *c.line.Load()
	first := proto.Scale{Raw: raw, At: line.time(raw).Add(step), Rate: c.drift + p.total}
	next := line.from(raw, first)
	if p.slew > 0 {
		end := raw + proto.Raw(math.Round(float64(p.slew)/(1+first.Frequency())))
		next = append(next, proto.Scale{Raw: end, At: first.Time(end), Rate: c.drift + p.base})
	}
	c.line.Store(&next)
	return first.At
}

// Close ends a slew at once. The clock can still be read.
func (c *Software) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.steer(c.times.Raw(), 0, plan{base: c.base, total: c.base})
	return nil
}

// disturbance says that only suspend disturbs this clock: it loses the time.
func (c *Software) disturbance() (moved proto.Duration, slept time.Duration) {
	p := readPair(c.times)
	c.seen.Store(&p) // so that Convert need not look back far
	slept = suspended(c.times)
	return -proto.FromStd(slept), slept
}
