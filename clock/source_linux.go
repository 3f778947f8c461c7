package clock

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// machine is the real clocks of this machine.
func machine() *source {
	return &source{
		raw:  func() proto.Raw { return proto.Raw(read(unix.CLOCK_MONOTONIC_RAW)) },
		boot: func() proto.Instant { return proto.Instant(read(unix.CLOCK_BOOTTIME)) },
		real: realtime,
	}
}

// read reads a monotonic clock, which cannot fail on a kernel that runs Go.
func read(id int32) int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return ts.Nano()
}

func realtime() (proto.Timestamp, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return 0, fmt.Errorf("could not read the system clock: %w", err)
	}
	return proto.FromUnix(int64(ts.Sec), int64(ts.Nsec)), nil
}
