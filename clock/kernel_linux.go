package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernel is what System needs of one.
type kernel interface {
	Times
	// Adjtime is clock_adjtime(CLOCK_REALTIME).
	Adjtime(*unix.Timex) (state int, err error)
	// AfterFunc calls f after d on CLOCK_MONOTONIC, on a goroutine of its own.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// linux is the real one.
type linux struct{ machine }

func (linux) Adjtime(t *unix.Timex) (int, error) { return unix.ClockAdjtime(unix.CLOCK_REALTIME, t) }

func (linux) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// kernelFrequency is the frequency at which the kernel runs CLOCK_REALTIME,
// s/s. Anyone may ask.
func kernelFrequency() float64 {
	var t unix.Timex
	if _, err := (linux{}).Adjtime(&t); err != nil {
		return 0
	}
	return frequency(&t)
}

// frequency is how fast a kernel's clock runs, s/s.
func frequency(t *unix.Timex) float64 {
	return float64(t.Freq)*systemUnit + float64(t.Tick-nominalTick)*tickUnit
}
