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

// Errors that a caller tells apart.
var (
	// ErrPermission: the daemon may not adjust the system's clock.
	ErrPermission = errors.New("could not adjust the system clock: CAP_SYS_TIME is missing; start as root, or set update-system-clock = false to leave the system's clock alone")
	// ErrReadOnly: this clock was opened for reading.
	ErrReadOnly = errors.New("the clock was opened for reading only")
)

// System is the system's clock, CLOCK_REALTIME, steered with clock_adjtime(2).
// The kernel's own disciplines (PLL, FLL, PPS) are switched off.
type System struct {
	src      *source
	kernel   kernel
	readOnly bool

	mu     sync.Mutex
	steps  proto.Duration
	base   float64 // s/s, as the kernel runs it without a slew
	total  float64 // s/s, with the slew
	status int32
	slew   stopper // ends the slew; nil without one
	slews  int     // how many there were
}

// kernel is clock_adjtime on CLOCK_REALTIME, and a timer.
type kernel interface {
	adjtime(*unix.Timex) error
	after(d time.Duration, f func()) stopper
}

type stopper interface{ Stop() bool }

// Limits of the kernel.
const (
	maxFrequency   = 500e-6       // s/s: MAXFREQ
	frequencyUnit  = 1e-6 / 65536 // s/s: ppm with 16 bits of fraction
	disciplines    = unix.STA_PLL | unix.STA_FLL | unix.STA_PPSFREQ | unix.STA_PPSTIME | unix.STA_FREQHOLD
	writableStatus = disciplines | unix.STA_INS | unix.STA_DEL | unix.STA_UNSYNC | unix.STA_NANO
)

// NewSystem takes control of the system's clock: it switches the kernel's
// disciplines off and keeps the frequency at which the clock runs. It fails
// with ErrPermission before anything is changed.
func NewSystem() (*System, error) { return newSystem(machine(), linux{}) }

// NewReadOnly reads the system's clock and never touches it.
func NewReadOnly() *System { return &System{src: machine(), readOnly: true} }

func newSystem(src *source, k kernel) (*System, error) {
	var t unix.Timex
	if err := k.adjtime(&t); err != nil {
		return nil, explain(err)
	}
	c := &System{src: src, kernel: k, base: float64(t.Freq) * frequencyUnit}
	c.total = c.base
	c.status = t.Status&writableStatus&^(disciplines|unix.STA_INS|unix.STA_DEL) | unix.STA_UNSYNC
	t = unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_FREQUENCY, Status: c.status, Freq: scaled(c.base)}
	if err := k.adjtime(&t); err != nil {
		return nil, explain(err)
	}
	return c, nil
}

func explain(err error) error {
	if errors.Is(err, unix.EPERM) {
		return ErrPermission
	}
	return fmt.Errorf("clock_adjtime: %w", err)
}

// scaled is a frequency in the kernel's unit, cut to its range.
func scaled(f float64) int64 {
	f = max(-maxFrequency, min(f, maxFrequency))
	return int64(math.Round(f / frequencyUnit))
}

// Frequency is the base frequency, s/s.
func (c *System) Frequency() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base
}

// Stepped is the sum of the steps that Apply made.
func (c *System) Stepped() proto.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// Now reads the clock.
func (c *System) Now() (proto.Timestamp, error) { return c.src.real() }

// Convert is the identity: stamps are on this clock.
func (c *System) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return real, 0, nil
}

// Scale is the present segment from the free-running clock, or the zero value
// when the clock cannot be read.
func (c *System) Scale() proto.Scale {
	p, err := c.src.readPair()
	if err != nil {
		return proto.Scale{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return proto.Scale{Raw: p.raw, At: p.real, Rate: proto.Rate(c.total)}
}

// Apply carries out an adjustment: the step and the frequencies in one system
// call. Where base and slew together exceed what the kernel can run at, the
// slew is slower and takes longer, so that it corrects as much. A timer ends
// it; the kernel then runs at the base frequency.
func (c *System) Apply(a kalman.Adjustment) (kalman.Applied, error) {
	if c.readOnly {
		return kalman.Applied{}, ErrReadOnly
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopSlew()
	base := float64(scaled(a.Frequency)) * frequencyUnit
	total := base
	if a.For > 0 && a.Slew != 0 {
		total = float64(scaled(base+a.Slew)) * frequencyUnit
	}
	slew := total - base
	if slew*a.Slew <= 0 { // none was asked for, or none is left to have
		slew, total, a.For = 0, base, 0
	} else {
		a.For = time.Duration(float64(a.For) * (a.Slew / slew))
	}
	if err := c.run(total, a.Step); err != nil {
		return kalman.Applied{}, err
	}
	c.base = base
	c.steps += a.Step
	if slew != 0 {
		c.slews++
		this := c.slews
		c.slew = c.kernel.after(a.For, func() { c.endSlew(this) })
	}
	at, err := c.src.real()
	if err != nil {
		return kalman.Applied{}, err
	}
	a.Frequency, a.Slew = base, slew
	return kalman.Applied{At: at, Mono: c.src.boot(), Adjustment: a}, nil
}

// run sets the kernel's frequency and steps its clock.
func (c *System) run(frequency float64, step proto.Duration) error {
	t := unix.Timex{Modes: unix.ADJ_FREQUENCY, Freq: scaled(frequency)}
	if step != 0 {
		// With ADJ_NANO tv_usec holds nanoseconds, which must not be negative.
		t.Modes |= unix.ADJ_SETOFFSET | unix.ADJ_NANO
		ns := int64(step.Std() % time.Second)
		t.Time.Sec = int64(step.Std() / time.Second)
		if ns < 0 {
			ns += int64(time.Second)
			t.Time.Sec--
		}
		t.Time.Usec = ns
		c.status |= unix.STA_NANO
	}
	if err := c.kernel.adjtime(&t); err != nil {
		return explain(err)
	}
	c.total = frequency
	return nil
}

// endSlew is called by the timer of one slew. If another replaced it while
// its timer went off, there is nothing to do.
func (c *System) endSlew(which int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slew == nil || which != c.slews {
		return
	}
	c.slew = nil
	// A failure leaves the slew running. Close tries again, and so does the
	// next adjustment, which sees where the clock went.
	_ = c.run(c.base, 0)
}

func (c *System) stopSlew() {
	if c.slew != nil {
		c.slew.Stop()
		c.slew = nil
	}
}

// SetStatus tells the kernel what is known: whether the clock is synchronised,
// a leap second that is to come, and the error estimates, which it keeps in
// microseconds.
func (c *System) SetStatus(s engine.ClockStatus) error {
	if c.readOnly {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	status := c.status &^ (unix.STA_UNSYNC | unix.STA_INS | unix.STA_DEL)
	switch {
	case !s.Synchronised:
		status |= unix.STA_UNSYNC
	case s.Leap == proto.LeapInsert:
		status |= unix.STA_INS
	case s.Leap == proto.LeapDelete:
		status |= unix.STA_DEL
	}
	t := unix.Timex{
		Modes:  unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR,
		Status: status, Maxerror: microseconds(s.MaxError), Esterror: microseconds(s.EstError),
	}
	if err := c.kernel.adjtime(&t); err != nil {
		return explain(err)
	}
	c.status = status
	return nil
}

// microseconds rounds up, so that a bound stays a bound.
func microseconds(d proto.Duration) int64 {
	const most = 16 * proto.Second // NTP_PHASE_LIMIT
	return int64(math.Ceil(max(0, min(d, most)).Seconds() * 1e6))
}

// Close ends a slew, leaves the base frequency, and says that nobody
// synchronises the clock any more.
func (c *System) Close() error {
	if c.readOnly {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopSlew()
	c.status = c.status&^(unix.STA_INS|unix.STA_DEL) | unix.STA_UNSYNC
	t := unix.Timex{Modes: unix.ADJ_FREQUENCY | unix.ADJ_STATUS, Freq: scaled(c.base), Status: c.status}
	if err := c.kernel.adjtime(&t); err != nil {
		return explain(err)
	}
	c.total = c.base
	return nil
}

// linux is the real kernel.
type linux struct{}

func (linux) adjtime(t *unix.Timex) error {
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, t)
	return err
}

func (linux) after(d time.Duration, f func()) stopper { return time.AfterFunc(d, f) }
