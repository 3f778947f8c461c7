package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"golang.org/x/sys/unix"
)

// Machine reads the clocks of this machine.
func Machine() Times { return machine{} }

type machine struct{}

func (machine) Real() proto.Timestamp { return proto.FromTime(time.Now()) }
func (machine) Raw() proto.Raw        { return proto.Raw(gettime(unix.CLOCK_MONOTONIC_RAW)) }
func (machine) Boot() proto.Instant   { return proto.Instant(gettime(unix.CLOCK_BOOTTIME)) }
func (machine) Mono() time.Duration   { return time.Duration(gettime(unix.CLOCK_MONOTONIC)) }

// gettime reads a clock in nanoseconds. The call fails only for a clock that
// the kernel does not have, and Go needs a newer kernel than any of these.
func gettime(id int32) int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return ts.Nano()
}
