package clock

import (
	"fmt"
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

const (
	// foreignRate is how fast the kernel can slew CLOCK_REALTIME away from
	// CLOCK_MONOTONIC_RAW by its frequency, s/s.
	foreignRate = 500e-6
	// setRate is the rate above which CLOCK_REALTIME cannot have been slewed
	// but was set: a frequency and adjtime(3) together.
	setRate = 2 * foreignRate
	// setLeast is the least step that is told from noise.
	setLeast = proto.Second / 10_000
	// stepLeast is longer than a stamp waits, but for a daemon that was
	// stopped.
	stepLeast = proto.Second / 100
	// maxAge is how old a stamp may be. It waits in a socket's queue while
	// the daemon is busy, which is microseconds.
	maxAge = 10 * proto.Second
)

// Convert moves a CLOCK_REALTIME stamp onto this clock: by a pair of
// CLOCK_REALTIME and the raw clock that is read now to the raw instant of the
// stamp, and by the segment that was valid then to this clock's time. A slew
// of CLOCK_REALTIME by someone else moves the result by no more than the error
// returned.
//
// If CLOCK_REALTIME was set since the pair before, the stamp may be from
// before or after that. Stamps are converted soon after they were taken, so
// the reading that makes it the younger one, but not one from the future, is
// the right one, unless the step was shorter than the stamp is old: then it is
// part of the error.
func (c *Software) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	p := readPair(c.times)
	before := c.seen.Swap(&p)
	age, e := p.real.Sub(real), p.err
	if step := foreignStep(before, &p); step != 0 {
		other := age - step // had the stamp been taken before the step
		if p.past(age) && p.past(other) && step.Abs() < stepLeast {
			e += step.Abs()
		}
		if p.past(other) && (other < age || !p.past(age)) {
			elapsed, _ := p.since(before)
			age, e = other, e+foreignDrift(elapsed)
		}
	}
	if !p.past(age) || age > maxAge {
		return 0, 0, fmt.Errorf("%w: it is %v old", ErrStale, age)
	}
	raw := p.raw - proto.Raw(age.Std())
	return c.line.Load().time(raw), e + foreignDrift(age), nil
}

// past reports whether a stamp of this age was taken before the pair.
func (p *pair) past(age proto.Duration) bool { return age >= -p.err-foreignDrift(p.err) }

// foreignDrift is how far CLOCK_REALTIME can be slewed in d, and a nanosecond,
// which is its resolution.
func foreignDrift(d proto.Duration) proto.Duration {
	return proto.FromSeconds(math.Abs(d.Seconds())*foreignRate) + proto.Second/1_000_000_000
}

// foreignStep is how far CLOCK_REALTIME was set between two pairs, and 0 when
// frequencies explain what it did.
func foreignStep(a, b *pair) proto.Duration {
	elapsed, moved := b.since(a)
	if moved.Abs() <= setLeast+a.err+b.err+proto.FromSeconds(elapsed.Seconds()*setRate) {
		return 0
	}
	return moved
}
