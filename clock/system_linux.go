package clock

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

const (
	// systemReach is the kernel's range of frequencies (MAXFREQ), s/s.
	systemReach = 500e-6
	// systemUnit is its unit: parts per million with 16 bits of fraction, s/s.
	systemUnit = 1e-6 / (1 << 16)
	// nominalTick is the length of a tick in microseconds at which the
	// frequency alone says how the clock runs.
	nominalTick = 10_000
	// tickUnit is one microsecond a tick as a frequency, s/s.
	tickUnit = 1.0 / nominalTick
	// phaseLimit is the largest error that the kernel keeps.
	phaseLimit = 16 * proto.Second
)

// System is the system's clock, CLOCK_REALTIME, steered with clock_adjtime(2).
type System struct {
	kernel kernel

	mu      sync.Mutex
	plan    plan           // as applied
	running bool           // the slew of plan has not ended
	slews   int            // how many there were, to tell timers apart
	stop    func() bool    // stops the timer of the slew
	steps   proto.Duration // Σ of our own, exactly as the kernel made them
	leap    proto.Duration // the leap second that just was, not yet in steps
	told    engine.ClockStatus
	ran     int64 // the frequency that the kernel confirmed last
	taken   bool
	closed  bool
}

// NewSystem opens the system's clock and changes nothing yet: Take does.
// Without the permission to adjust the clock it fails with ErrPermission.
func NewSystem() (*System, error) { return newSystem(linux{}) }

func newSystem(k kernel) (*System, error) {
	c := &System{kernel: k, stop: func() bool { return false }, told: engine.ClockStatus{Leap: proto.LeapUnsynchronised, EstError: phaseLimit, MaxError: phaseLimit}}
	t, err := c.look()
	if err != nil {
		return nil, err
	}
	// Only who may adjust the clock may say that its tick is what it is.
	if _, err := k.Adjtime(&unix.Timex{Modes: unix.ADJ_TICK, Tick: t.Tick}); err != nil {
		return nil, explain("adjust", err)
	}
	return c, nil
}

// look plans to go on at the frequency at which the kernel runs the clock.
func (c *System) look() (t unix.Timex, err error) {
	if _, err := c.kernel.Adjtime(&t); err != nil {
		return t, explain("read", err)
	}
	c.plan = limit(&kalman.Adjustment{Frequency: frequency(&t)}, systemUnit, systemReach)
	return t, nil
}

// explain says what failed and what to do about it.
func explain(verb string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return ErrPermission
	}
	return fmt.Errorf("cannot %s the system clock: clock_adjtime: %w", verb, err)
}

// status is a call that sets the status that was told, and what modes says
// besides.
func (c *System) status(modes uint32, frequency int64) unix.Timex {
	t := unix.Timex{Modes: modes | unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR | unix.ADJ_NANO}
	set(&t.Freq, frequency)
	set(&t.Tick, nominalTick)
	set(&t.Maxerror, microseconds(c.told.MaxError))
	set(&t.Esterror, microseconds(c.told.EstError))
	switch {
	case !c.told.Synchronised:
		t.Status = unix.STA_UNSYNC
	case c.told.Leap == proto.LeapInsert:
		t.Status = unix.STA_INS
	case c.told.Leap == proto.LeapDelete:
		t.Status = unix.STA_DEL
	}
	return t
}

// set assigns to a field of Timex, whose width is the machine's.
func set[T ~int32 | ~int64](field *T, v int64) { *field = T(v) }

// microseconds rounds up, so that a bound stays a bound.
func microseconds(d proto.Duration) int64 {
	return int64(math.Ceil(min(max(d, 0), phaseLimit).Seconds() * 1e6))
}

// Now reads the clock. It does not fail.
func (c *System) Now() (proto.Timestamp, error) { return c.kernel.Real(), nil }

// Convert is the identity: stamps are on this clock.
func (c *System) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return real, 0, nil
}

// Scale is the segment from the raw clock at the present frequency. It is good
// until the clock is steered, a slew ends, or someone else moves the clock.
func (c *System) Scale() proto.Scale {
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := c.plan.base
	if c.running {
		rate = c.plan.total
	}
	p := readPair(c.kernel)
	return proto.Scale{Raw: p.raw, At: p.real, Rate: proto.Rate(float64(rate) * systemUnit)}
}

// Frequency is the base frequency, s/s.
func (c *System) Frequency() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.plan.base) * systemUnit
}

// Apply carries out an adjustment: the step and the frequency in one system
// call. A timer ends the slew.
func (c *System) Apply(a kalman.Adjustment) (kalman.Applied, error) {
	if err := check(&a); err != nil {
		return kalman.Applied{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(); err != nil {
		return kalman.Applied{}, err
	}
	p := limit(&a, systemUnit, systemReach)
	step := a.Step.Std() // the kernel counts nanoseconds
	if err := c.run(p.total, step); err != nil {
		return kalman.Applied{}, err
	}
	c.stop()
	c.plan, c.running = p, p.slew > 0
	if c.running {
		c.slews++
		this := c.slews
		c.stop = c.kernel.AfterFunc(p.slew, func() { c.timer(this) })
	}
	at, mono, _ := bracket(c.kernel.Boot, c.kernel.Real)
	out := kalman.Applied{At: at, Mono: mono, Adjustment: p.applied(systemUnit)}
	out.Step = proto.FromStd(step)
	return out, nil
}

// run sets the kernel's frequency and steps its clock, in one call. A step
// makes the kernel forget the status, so that call sets it again.
func (c *System) run(frequency int64, step time.Duration) error {
	t := unix.Timex{Modes: unix.ADJ_FREQUENCY}
	set(&t.Freq, frequency)
	if step != 0 {
		t = c.status(unix.ADJ_FREQUENCY|unix.ADJ_SETOFFSET, frequency)
		sec, nsec := step/time.Second, step%time.Second
		if nsec < 0 { // "the tv_usec field must be nonnegative", adjtimex(2)
			sec, nsec = sec-1, nsec+time.Second
		}
		set(&t.Time.Sec, int64(sec))
		set(&t.Time.Usec, int64(nsec)) // nanoseconds by ADJ_NANO
	}
	if _, err := c.kernel.Adjtime(&t); err != nil {
		return explain("adjust", err)
	}
	c.ran = int64(t.Freq)
	c.steps += proto.FromStd(step)
	return nil
}

// timer ends one slew. If another adjustment came before it got the lock there
// is nothing left to do.
func (c *System) timer(slew int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running && c.slews == slew {
		_ = c.endSlew() // tried again by itself
	}
}

// endSlew returns to the base frequency. If the kernel refuses, the slew is
// tried to be ended again soon.
func (c *System) endSlew() error {
	if err := c.run(c.plan.base, 0); err != nil {
		this := c.slews
		c.stop = c.kernel.AfterFunc(time.Second, func() { c.timer(this) })
		return err
	}
	c.running = false
	return nil
}

// SetStatus tells the kernel what is known: whether the clock is synchronised,
// the leap second that ends this day, and the errors, which it keeps in
// microseconds.
func (c *System) SetStatus(s engine.ClockStatus) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(); err != nil {
		return err
	}
	c.leapt() // while we know what was announced
	before := c.told
	c.told = s
	t := c.status(0, 0)
	if _, err := c.kernel.Adjtime(&t); err != nil {
		c.told = before
		return explain("adjust", err)
	}
	return nil
}

// Close ends a slew and leaves the base frequency. What the kernel knows about
// the clock stays: it lets the error grow by itself, and ends by calling the
// clock unsynchronised.
func (c *System) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.stop()
	if !c.running {
		return nil
	}
	if err := c.run(c.plan.base, 0); err != nil {
		return err
	}
	c.running = false
	return nil
}

// disturbance compares CLOCK_REALTIME with CLOCK_BOOTTIME, which only differ
// by steps: the kernel slews both alike. A leap second that we announced is a
// step of our own.
func (c *System) disturbance() (moved proto.Duration, slept time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var real proto.Timestamp
	var boot proto.Instant
	for leapt := c.leapt(); ; {
		real, boot, _ = bracket(c.kernel.Boot, c.kernel.Real)
		after := c.leapt()
		if after == leapt {
			break
		}
		leapt = after // in between
	}
	return real.Sub(0) - proto.FromStd(time.Duration(boot)) - c.steps - c.leap, suspended(c.kernel)
}

// leapt asks the kernel whether the leap second of this day is over, adds it to
// the steps if it is, and returns their sum.
func (c *System) leapt() proto.Duration {
	var t unix.Timex
	state, err := c.kernel.Adjtime(&t)
	switch over := state == unix.TIME_OOP || state == unix.TIME_WAIT; {
	case err != nil:
	case !over:
		c.steps, c.leap = c.steps+c.leap, 0
	case c.told.Leap == proto.LeapInsert:
		c.leap = -proto.Second
	case c.told.Leap == proto.LeapDelete:
		c.leap = proto.Second
	}
	return c.steps + c.leap
}
