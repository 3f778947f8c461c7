package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// ErrMayNotStep means that this process may not set the clock.
var ErrMayNotStep = errors.New("could not update the clock, do you have the right permissions? (run it as root, or with CAP_SYS_TIME)")

// StepClock moves the system's clock at once, and touches neither its
// frequency nor its status.
func StepClock(by proto.Duration) error {
	t := unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.NsecToTimeval(by.Std().Nanoseconds())} // 0 ≤ Usec, as the kernel wants it
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &t)
	switch {
	case errors.Is(err, unix.EPERM):
		return ErrMayNotStep
	case err != nil:
		return fmt.Errorf("could not update the clock: %w", err)
	}
	return nil
}
