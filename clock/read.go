package clock

import "github.com/ntpd-go/ntpd-go/proto"

// Read reads the clock and the monotonic clock together, for the engine.
func Read(c Clock) (proto.Now, error) {
	wall, err := c.Now()
	if err != nil {
		return proto.Now{}, err
	}
	return proto.Now{Mono: Boottime(), Wall: wall}, nil
}

// Boottime reads CLOCK_BOOTTIME, the clock of deadlines and ages.
func Boottime() proto.Instant { return machineClocks.boot() }

var machineClocks = machine()
