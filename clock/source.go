package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// source reads the clocks of the machine. Tests put a world of their own in
// its place.
type source struct {
	raw  func() proto.Raw                // CLOCK_MONOTONIC_RAW
	boot func() proto.Instant            // CLOCK_BOOTTIME
	real func() (proto.Timestamp, error) // CLOCK_REALTIME
}

// pair is the free-running clock and CLOCK_REALTIME read at once. They are no
// further apart than err.
type pair struct {
	raw  proto.Raw
	real proto.Timestamp
	err  proto.Duration
}

// pairTries is how often a pair is read; the one that was read the quickest
// counts.
const pairTries = 3

// readPair reads CLOCK_REALTIME between two readings of the free-running clock.
func (s *source) readPair() (pair, error) {
	best := pair{err: proto.MaxDuration}
	for range pairTries {
		before := s.raw()
		real, err := s.real()
		if err != nil {
			return pair{}, err
		}
		after := s.raw()
		width := proto.FromStd(nanoseconds(after - before))
		if width/2 < best.err {
			best = pair{raw: before + (after-before)/2, real: real, err: width / 2}
		}
	}
	return best, nil
}

// at is the raw time of a CLOCK_REALTIME stamp, if CLOCK_REALTIME ran evenly
// between the two.
func (p pair) at(real proto.Timestamp) proto.Raw {
	return p.raw - proto.Raw(p.real.Sub(real).Std())
}

// nanoseconds is a difference of raw times.
func nanoseconds(r proto.Raw) time.Duration { return time.Duration(r) }
