package clock

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Errors of clocks, to be matched with errors.Is.
var (
	// ErrClosed is an attempt to steer a closed clock.
	ErrClosed = errors.New("the clock is closed")
	// ErrAdjustment is an adjustment that no clock can carry out.
	ErrAdjustment = errors.New("impossible adjustment")
	// ErrStale is a CLOCK_REALTIME stamp that cannot be placed: too old, in
	// the future, or from around a time when someone set that clock.
	ErrStale = errors.New("timestamp cannot be converted")
)

const (
	// softwareRange is how far a software clock deviates from its oscillator,
	// s/s.
	softwareRange = 0.1
	// foreignRate is how fast CLOCK_REALTIME may run away from
	// CLOCK_MONOTONIC_RAW without having been set: the kernel's range of
	// frequencies, s/s.
	foreignRate = 500e-6
	// maxAge is how old a stamp may be to be converted.
	maxAge = 10 * proto.Second
)

// Software is a clock that is disciplined in user space and leaves the
// machine's alone: an affine function of CLOCK_MONOTONIC_RAW that changes
// when it is steered. Its arithmetic is in integers. It does not go on while
// the machine is suspended.
type Software struct {
	times Times
	drift int64 // the oscillator's deviation that Options asked for

	seg    atomic.Pointer[segments]
	pair   atomic.Pointer[Pair] // the last one that Convert read
	status atomic.Pointer[engine.ClockStatus]

	mu     sync.Mutex // one adjustment at a time
	base   int64      // base frequency, as Scale.Rate
	closed bool
}

// SoftwareOptions sets a software clock up; the zero value starts it at
// CLOCK_REALTIME, at the rate of CLOCK_MONOTONIC_RAW.
type SoftwareOptions struct {
	Offset    proto.Duration // how wrong the clock begins, for demonstrations
	Frequency float64        // how wrong its oscillator is, s/s
	Times     Times          // nil is Machine()
}

// NewSoftware starts a software clock.
func NewSoftware(o SoftwareOptions) *Software {
	s := &Software{times: o.Times, drift: proto.Rate(o.Frequency)}
	if s.times == nil {
		s.times = Machine()
	}
	p := ReadPair(s.times)
	s.pair.Store(&p)
	s.seg.Store(&segments{{Raw: p.Raw, At: p.Real.Add(o.Offset), Rate: s.drift}})
	s.status.Store(&engine.ClockStatus{Leap: proto.LeapUnsynchronised})
	return s
}

// At is the clock's time at a raw instant of the recent past.
func (s *Software) At(r proto.Raw) proto.Timestamp { return s.seg.Load().at(r).Time(r) }

// Now reads the clock. It does not fail.
func (s *Software) Now() (proto.Timestamp, error) { return s.At(s.times.Raw()), nil }

// Scale is the current segment. While a slew runs it is good until the slew
// ends.
func (s *Software) Scale() proto.Scale { return s.seg.Load().at(s.times.Raw()) }

// Status returns what SetStatus was told last.
func (s *Software) Status() engine.ClockStatus { return *s.status.Load() }

// SetStatus remembers the status.
func (s *Software) SetStatus(st engine.ClockStatus) error {
	s.status.Store(&st)
	return nil
}

// Convert moves a CLOCK_REALTIME stamp onto this clock. It reads that clock
// and the raw one at once, goes back by the stamp's age and takes the segment
// valid at that moment. Who sets or slews CLOCK_REALTIME meanwhile moves the
// result by no more than the error returned; a stamp that may lie on the other
// side of a step is refused.
func (s *Software) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	p := ReadPair(s.times)
	last := s.pair.Swap(&p)
	age := p.Real.Sub(real)
	switch drift := foreignDrift(p.Err); {
	case age > maxAge, age < -drift:
		return 0, 0, fmt.Errorf("%w: it is %v old", ErrStale, age)
	case wasSet(*last, p):
		return 0, 0, fmt.Errorf("%w: CLOCK_REALTIME was set", ErrStale)
	}
	return s.At(p.At(real)), p.Err + foreignDrift(age), nil
}

// foreignDrift is how far CLOCK_REALTIME may drift in d, and a nanosecond for
// its resolution.
func foreignDrift(d proto.Duration) proto.Duration {
	return proto.FromSeconds(math.Abs(d.Seconds())*foreignRate) + proto.Second/1e9
}

// wasSet reports whether CLOCK_REALTIME moved between two pairs as it only
// does when someone sets it.
func wasSet(a, b Pair) bool {
	elapsed := proto.FromStd(time.Duration(b.Raw - a.Raw))
	moved := b.Real.Sub(a.Real) - elapsed
	return moved.Abs() > foreignDrift(elapsed)+a.Err+b.Err
}

// Apply carries out an adjustment. The slew ends exactly when it should
// without anyone's help: its end is a segment too.
func (s *Software) Apply(a kalman.Adjustment) (kalman.Applied, error) {
	if err := check(a); err != nil {
		return kalman.Applied{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kalman.Applied{}, ErrClosed
	}
	s.base = proto.Rate(clamp(a.Frequency, softwareRange))
	slew := int64(0)
	if a.For > 0 {
		slew = proto.Rate(clamp(a.Frequency+a.Slew, softwareRange)) - s.base
	}
	if slew == 0 {
		a.For = 0
	}
	raw := s.times.Raw()
	at := s.steer(raw, a.Step, slew, a.For)
	return kalman.Applied{
		At:   at,
		Mono: s.times.Boot() - proto.Instant(s.times.Raw()-raw),
		Adjustment: kalman.Adjustment{
			Step:      a.Step,
			Frequency: proto.Scale{Rate: s.base}.Frequency(),
			Slew:      proto.Scale{Rate: slew}.Frequency(),
			For:       a.For,
		},
	}, nil
}

// steer makes the clock run from a raw instant on as planned and returns its
// time there.
func (s *Software) steer(raw proto.Raw, step proto.Duration, slew int64, length time.Duration) proto.Timestamp {
	old := *s.seg.Load()
	first := proto.Scale{Raw: raw, At: old.at(raw).Time(raw).Add(step), Rate: s.drift + s.base + slew}
	next := old.from(raw, first)
	if length > 0 {
		end := raw + proto.Raw(length)
		next = append(next, proto.Scale{Raw: end, At: first.Time(end), Rate: s.drift + s.base})
	}
	s.seg.Store(&next)
	return first.At
}

// Close ends a running slew at once.
func (s *Software) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.steer(s.times.Raw(), 0, 0, 0)
	}
	return nil
}

// check refuses what is not a number.
func check(a kalman.Adjustment) error {
	for _, f := range []float64{a.Frequency, a.Slew, a.Frequency + a.Slew} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%w: frequency %v, slew %v", ErrAdjustment, a.Frequency, a.Slew)
		}
	}
	if a.For < 0 {
		return fmt.Errorf("%w: slew of %v", ErrAdjustment, a.For)
	}
	return nil
}

func clamp(f, limit float64) float64 { return min(max(f, -limit), limit) }
