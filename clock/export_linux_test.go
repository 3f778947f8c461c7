package clock

import (
	"context"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Bridges for tests in package clock_test, which cannot be in this package
// because clocktest imports it.

// Kernel is what a System runs on.
type Kernel = kernel

// NewSystemOn opens a kernel's clock.
func NewSystemOn(k Kernel) (*System, error) { return newSystem(k) }

// RunOn is Watch.Run with another alarm.
func (w *Watch) RunOn(ctx context.Context, every time.Duration, rings <-chan struct{}, report func(engine.Jumped)) {
	w.run(ctx, every, rings, report)
}

// ListenAlarm listens to the machine's.
func ListenAlarm() (<-chan struct{}, func()) { return listenAlarm() }
