package clock

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Errors of clocks, to be matched with errors.Is.
var (
	// ErrPermission: this process may not adjust the system's clock.
	ErrPermission = errors.New("cannot adjust the system clock (CAP_SYS_TIME missing): run as root, or set update-system-clock = false")
	// ErrReadOnly: the clock was opened for reading.
	ErrReadOnly = errors.New("the clock was opened for reading only")
	// ErrClosed: the clock is closed and is steered no more.
	ErrClosed = errors.New("the clock is closed")
	// ErrNotTaken: the system's clock was opened, and nobody took it.
	ErrNotTaken = errors.New("the clock was not taken control of")
	// ErrAdjustment: no clock can do what was asked for.
	ErrAdjustment = errors.New("impossible adjustment")
	// ErrStale: a CLOCK_REALTIME stamp cannot be placed, because it is too old
	// or from the future.
	ErrStale = errors.New("timestamp cannot be converted")
)

// longestSlew bounds how long a slew becomes that is slower than asked for.
const longestSlew = 24 * time.Hour

// check refuses what is not a number.
func check(a *kalman.Adjustment) error {
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

// plan is an adjustment in the units of a clock.
type plan struct {
	base  int64         // frequency
	total int64         // frequency while slewing
	slew  time.Duration // 0 for no slew
}

// limit rounds an adjustment to the units of a clock and cuts it to the range
// that the clock can run at. A slew that becomes slower by it takes longer, so
// that it corrects as much; one for which no room is left does not happen.
func limit(a *kalman.Adjustment, unit, reach float64) plan {
	units := func(f float64) int64 { return int64(math.Round(min(max(f, -reach), reach) / unit)) }
	p := plan{base: units(a.Frequency)}
	p.total = p.base
	if a.For == 0 {
		return p
	}
	asked := a.Slew / unit
	p.total = units(float64(p.base)*unit + a.Slew)
	got := float64(p.total - p.base)
	if got == 0 {
		return p
	}
	p.slew = longestSlew
	if long := float64(a.For) * (asked / got); long < float64(longestSlew) {
		p.slew = time.Duration(math.Round(long))
	}
	return p
}

// applied is what the plan amounts to.
func (p plan) applied(unit float64) kalman.Adjustment {
	return kalman.Adjustment{
		Frequency: float64(p.base) * unit,
		Slew:      float64(p.total-p.base) * unit,
		For:       p.slew,
	}
}
