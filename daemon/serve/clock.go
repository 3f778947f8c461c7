package serve

import (
	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Clock is the part of clock.Clock that serving needs. Both timestamps of a
// response go through it, so that what is served is the clock that is steered,
// whoever sets CLOCK_REALTIME: the kernel's receive timestamp by Convert, and
// the transmit timestamp by Now.
type Clock interface {
	Now() (proto.Timestamp, error)
	Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error)
}

// boottime reads the clock of proto.Instant. It cannot fail on a kernel that
// runs Go.
func boottime() proto.Instant {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return proto.Instant(t.Nano())
}
