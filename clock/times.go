package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Times reads the clocks of a machine. Its methods may be called from several
// goroutines.
type Times interface {
	// Real is CLOCK_REALTIME: wall time, which anyone may set or slew, and on
	// which the kernel stamps packets.
	Real() proto.Timestamp
	// Raw is CLOCK_MONOTONIC_RAW, which no one steers.
	Raw() proto.Raw
	// Boot is CLOCK_BOOTTIME, which goes on while the machine is suspended.
	Boot() proto.Instant
	// Mono is CLOCK_MONOTONIC, which does not, and otherwise runs alike.
	Mono() time.Duration
}

// pairTries is how often two clocks are read to find a time when nothing came
// in between.
const pairTries = 4

// A pair is one moment on CLOCK_REALTIME and on CLOCK_MONOTONIC_RAW.
type pair struct {
	real proto.Timestamp
	raw  proto.Raw
	err  proto.Duration // bound on how far apart the two were read
}

// readPair reads both clocks at once.
func readPair(t Times) pair {
	real, raw, width := bracket(t.Raw, t.Real)
	return pair{real: real, raw: raw, err: proto.FromStd(time.Duration(width+1) / 2)}
}

// bracket reads one clock between two readings of another and returns what
// both were at the same moment, to half of width: the tightest of a few tries.
func bracket[O, I ~int64 | ~uint64](outer func() O, inner func() I) (at I, middle, width O) {
	for try := range pairTries {
		before := outer()
		read := inner()
		if w := outer() - before; try == 0 || w < width {
			at, middle, width = read, before+w/2, w
		}
	}
	return at, middle, width
}

// since is the time on CLOCK_MONOTONIC_RAW from an earlier pair to p, and moved
// is how far CLOCK_REALTIME ran away from it meanwhile.
func (p *pair) since(earlier *pair) (elapsed, moved proto.Duration) {
	elapsed = proto.FromStd(time.Duration(p.raw - earlier.raw))
	return elapsed, p.real.Sub(earlier.real) - elapsed
}

// Read reads a clock for the engine, together with CLOCK_BOOTTIME.
func Read(c Clock) (proto.Now, error) {
	wall, err := c.Now()
	if err != nil {
		return proto.Now{}, err
	}
	return proto.Now{Mono: Boottime(), Wall: wall}, nil
}

// Boottime reads CLOCK_BOOTTIME, the clock of deadlines and ages.
func Boottime() proto.Instant { return Machine().Boot() }
