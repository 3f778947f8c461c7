// Package clock is the seam between the engine and whatever clock it steers:
// the operating system's (System), or one that is disciplined in user space
// and leaves the machine alone (Software).
package clock

import (
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Clock is a clock that can be steered. Its methods may be called from
// several goroutines; only one goroutine steers.
type Clock interface {
	// Now reads the clock.
	Now() (proto.Timestamp, error)
	// Convert moves a CLOCK_REALTIME timestamp, such as the kernel puts on
	// packets, onto the timescale of this clock, with the error that this
	// adds. It is the identity for System.
	Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error)
	// Scale is the current segment from CLOCK_MONOTONIC_RAW to this clock. It
	// is good until the next adjustment or the end of a slew.
	Scale() proto.Scale
	// Apply carries out an adjustment and returns what was really done:
	// frequencies rounded to what the clock can run at and cut to its range. A
	// slew that becomes slower by that takes longer. It ends by itself when
	// For has passed on this clock. An error means that nothing was done.
	Apply(kalman.Adjustment) (kalman.Applied, error)
	// SetStatus passes on what is known about the clock.
	SetStatus(engine.ClockStatus) error
	// Close ends any slew and leaves the base frequency. The clock can still
	// be read.
	Close() error
}
