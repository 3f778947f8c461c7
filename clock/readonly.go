package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// ReadOnly is the system's clock as someone else steers it, or no one. It
// needs no privilege.
type ReadOnly struct{ times Times }

// NewReadOnly reads the system's clock and never touches it.
func NewReadOnly() *ReadOnly { return &ReadOnly{times: Machine()} }

// Now reads the clock. It does not fail.
func (c *ReadOnly) Now() (proto.Timestamp, error) { return c.times.Real(), nil }

// Convert is the identity: stamps are on this clock.
func (c *ReadOnly) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return real, 0, nil
}

// Scale is the segment from the raw clock at this moment, at the frequency at
// which the kernel runs the clock.
func (c *ReadOnly) Scale() proto.Scale {
	p := readPair(c.times)
	return proto.Scale{Raw: p.raw, At: p.real, Rate: proto.Rate(kernelFrequency())}
}

// Apply fails with ErrReadOnly.
func (c *ReadOnly) Apply(kalman.Adjustment) (kalman.Applied, error) {
	return kalman.Applied{}, ErrReadOnly
}

// SetStatus does nothing: whoever steers the clock tells the kernel.
func (c *ReadOnly) SetStatus(engine.ClockStatus) error { return nil }

// Close does nothing.
func (c *ReadOnly) Close() error { return nil }

func (c *ReadOnly) disturbance() (moved proto.Duration, slept time.Duration) {
	real, boot, _ := bracket(c.times.Boot, c.times.Real)
	return real.Sub(0) - proto.FromStd(time.Duration(boot)), suspended(c.times)
}
