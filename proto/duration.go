package proto

import (
	"fmt"
	"math"
	"time"
)

// Duration is a signed difference of two timestamps in units of 2^-32 s
// (about 233 ps). It reaches ±68 years, like the difference of two NTP
// timestamps (RFC 5905 section 6).
type Duration int64

// Common durations.
const (
	Second      Duration = 1 << 32
	MaxDuration Duration = math.MaxInt64
	MinDuration Duration = math.MinInt64
)

// Seconds returns the duration in seconds.
func (d Duration) Seconds() float64 { return float64(d) * (1.0 / (1 << 32)) }

// FromSeconds converts seconds to a Duration, rounding to the nearest unit,
// halves away from zero, and saturating at the ends of the range. NaN gives 0.
func FromSeconds(s float64) Duration {
	v := math.Abs(float64(s * (1 << 32))) // exact, as the factor is a power of two
	whole := math.Floor(v)
	if v-whole >= 0.5 { // exact too; v + 0.5 is not where v has no room for halves
		whole++
	}
	switch {
	case s != s:
		return 0
	case whole >= math.MaxInt64 && s > 0:
		return MaxDuration
	case whole >= math.MaxInt64:
		return MinDuration
	case s < 0:
		return -Duration(whole)
	default:
		return Duration(whole)
	}
}

// FromStd converts a time.Duration to the nearest unit, halves away from zero,
// saturating at the ends of the range: a time.Duration reaches ±292 years.
func FromStd(d time.Duration) Duration {
	sec := int64(d / time.Second)
	frac := int64(d%time.Second) << 32
	half := int64(time.Second / 2)
	if d < 0 {
		half = -half
	}
	switch units := (frac + half) / int64(time.Second); { // |units| < 2^32
	case sec > math.MaxInt32:
		return MaxDuration
	case sec < math.MinInt32, sec == math.MinInt32 && units < 0:
		return MinDuration
	default:
		return Duration(sec<<32 + units)
	}
}

// Std converts to a time.Duration, rounding to the nearest nanosecond, halves
// up. It never overflows: ±68 years fit.
func (d Duration) Std() time.Duration {
	sec := int64(d) >> 32
	frac := int64(uint32(d)) // d = sec + frac·2^-32 with frac ≥ 0
	return time.Duration(sec)*time.Second + time.Duration((frac*int64(time.Second)+1<<31)>>32)
}

// Abs returns the magnitude. MinDuration saturates.
func (d Duration) Abs() Duration {
	switch {
	case d == MinDuration:
		return MaxDuration
	case d < 0:
		return -d
	default:
		return d
	}
}

// String prints the duration in seconds with microseconds, as "+0.000123s".
func (d Duration) String() string { return fmt.Sprintf("%+.6fs", d.Seconds()) }

// Short is the unsigned 16.16 format of root delay and root dispersion
// (RFC 5905 section 6): seconds in units of 2^-16.
type Short uint32

// Duration widens the short format.
func (s Short) Duration() Duration { return Duration(s) << 16 }

// ToShort narrows a duration, rounding up so that a bound stays a bound.
// Negative values give 0, large ones saturate.
func ToShort(d Duration) Short {
	switch {
	case d <= 0:
		return 0
	case d > Duration(math.MaxUint32)<<16:
		return math.MaxUint32
	default:
		return Short((d + 1<<16 - 1) >> 16)
	}
}
