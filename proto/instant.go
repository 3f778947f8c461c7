package proto

import (
	"math"
	"math/bits"
	"time"
)

// Instant is a point on a monotonic clock that also counts while the machine
// is suspended (CLOCK_BOOTTIME on Linux), in nanoseconds since an arbitrary
// start. Deadlines and ages are made of it. It does not convert to a
// Timestamp.
type Instant int64

// Never is a deadline that does not come.
const Never Instant = math.MaxInt64

// Add returns i + d, saturating at Never. Never stays Never.
func (i Instant) Add(d time.Duration) Instant {
	if i == Never || (d > 0 && int64(i) > math.MaxInt64-int64(d)) {
		return Never
	}
	return i + Instant(d)
}

// Sub returns i − j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Now is what the time is, on both kinds of clock, when something happens.
// The shell reads it once and hands it down; pure code never asks.
type Now struct {
	Mono Instant   // for deadlines and ages
	Wall Timestamp // on the timescale that is steered and served
}

// Raw is a point on the free-running clock that no one steers
// (CLOCK_MONOTONIC_RAW on Linux), in nanoseconds. It is the abscissa of a
// Scale and stops during suspend; it does not convert to an Instant.
type Raw int64

// rateOne is the unit of Scale.Rate: 2^-48 (about 3.6e-15) of a second a
// second.
const rateOne = 1 << 48

// Scale maps the free-running clock to served time as an affine function:
// at Raw it is At, and from there time runs 1 + Rate·2^-48 seconds a second.
// A segment is valid until the next steering action; evaluating one backwards
// in time is allowed.
type Scale struct {
	Raw  Raw
	At   Timestamp
	Rate int64
}

// Rate converts a frequency deviation in seconds a second (positive is fast)
// to the unit of Scale.Rate, to the nearest unit.
func Rate(frequency float64) int64 { return int64(math.Floor(float64(frequency*rateOne) + 0.5)) }

// Frequency is the deviation of the scale in seconds a second.
func (s Scale) Frequency() float64 { return float64(s.Rate) / rateOne }

// Time returns the served time at a raw instant, to the resolution of a
// Timestamp.
func (s Scale) Time(r Raw) Timestamp {
	ns := int64(r - s.Raw)
	return s.At.Add(FromStd(time.Duration(ns)) + corr(ns, s.Rate))
}

// corr is ns·rate·2^-48 in timestamp units (2^-32 s), rounded towards zero:
// ns·rate·2^-16/1e9.
func corr(ns, rate int64) Duration {
	neg := (ns < 0) != (rate < 0)
	hi, lo := bits.Mul64(magnitude(ns), magnitude(rate))
	hi, lo = hi>>16, hi<<48|lo>>16
	if hi >= 1e9 {
		hi = 1e9 - 1 // beyond 68 years of correction; saturate
	}
	q, _ := bits.Div64(hi, lo, 1e9)
	if q > math.MaxInt64 {
		q = math.MaxInt64
	}
	if neg {
		return -Duration(q)
	}
	return Duration(q)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}
