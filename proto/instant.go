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

// Add returns i + d, saturating at both ends. Never stays Never.
func (i Instant) Add(d time.Duration) Instant {
	switch {
	case i == Never, d > 0 && int64(i) > math.MaxInt64-int64(d):
		return Never
	case d < 0 && int64(i) < math.MinInt64-int64(d):
		return math.MinInt64
	default:
		return i + Instant(d)
	}
}

// Sub returns i − j, saturating at both ends.
func (i Instant) Sub(j Instant) time.Duration {
	d := i - j
	switch {
	case i >= j && d < 0:
		return math.MaxInt64
	case i < j && d > 0:
		return math.MinInt64
	default:
		return time.Duration(d)
	}
}

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

// maxRate is the fastest Scale.Rate; rateOne + maxRate fits an int64.
const maxRate = 1<<61 - 1

// Scale maps the free-running clock to served time as an affine function:
// at Raw it is At, and from there time runs 1 + Rate·2^-48 seconds a second.
// A segment is valid until the next steering action; evaluating one backwards
// in time is allowed. Time must not stand still: Rate > −2^48, and it stays
// below 2^61.
type Scale struct {
	Raw  Raw
	At   Timestamp
	Rate int64
}

// Rate converts a frequency deviation in seconds a second (positive is fast)
// to the unit of Scale.Rate, to the nearest unit. A deviation of −1 or less,
// where time would stand still, gives the slowest rate, one above 8192 the
// fastest, and NaN gives 0.
func Rate(frequency float64) int64 {
	switch v := math.Floor(float64(frequency*rateOne) + 0.5); {
	case v != v:
		return 0
	case v <= -rateOne:
		return 1 - rateOne
	case v >= maxRate:
		return maxRate
	default:
		return int64(v)
	}
}

// Frequency is the deviation of the scale in seconds a second.
func (s Scale) Frequency() float64 { return float64(s.Rate) / rateOne }

// Time returns the served time at a raw instant, rounded to the nearest
// Timestamp and modulo the era. It never runs backwards.
func (s Scale) Time(r Raw) Timestamp {
	// ns·(2^48 + Rate) is the elapsed time in units of 2^-48 ns; a timestamp
	// unit, 2^-32 s, is 1e9·2^16 of them.
	const unit = 1e9 * (1 << 16)
	ns := int64(r - s.Raw)
	hi, lo := bits.Mul64(magnitude(ns), uint64(rateOne+s.Rate))
	round := uint64(unit / 2)
	if ns < 0 {
		round-- // halves up on both sides of zero
	}
	lo, carry := bits.Add64(lo, round, 0)
	// Dropping whole multiples of unit·2^64 leaves the quotient modulo 2^64.
	q, _ := bits.Div64((hi+carry)%unit, lo, unit)
	if ns < 0 {
		q = -q
	}
	return s.At + Timestamp(q)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}
