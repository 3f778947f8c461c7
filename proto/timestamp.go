package proto

import (
	"fmt"
	"time"
)

// Timestamp is a point of wall time in the 64-bit format of RFC 5905
// section 6: 32 bits of seconds since the start of an era and 32 bits of
// fraction. Era 0 began on 1900-01-01, era 1 begins on 2036-02-07.
//
// The value does not carry its era. Differences are taken modulo 2^64 and are
// right whenever the two times lie within 68 years of each other, so no
// arithmetic here notices the rollover; only the conversion to a calendar
// needs a pivot. The zero value means "unknown", as on the wire.
type Timestamp uint64

// unixEpoch is 1970-01-01 in seconds of era 0.
const unixEpoch = 2208988800

// IsZero reports whether the timestamp is the wire's "unknown" value.
func (t Timestamp) IsZero() bool { return t == 0 }

// Sub returns t − u, modulo the era (RFC 5905 section 6).
func (t Timestamp) Sub(u Timestamp) Duration { return Duration(t - u) }

// Add returns t + d. The result wraps into the neighbouring era.
func (t Timestamp) Add(d Duration) Timestamp { return t + Timestamp(d) }

// Before reports whether t precedes u, for times less than 68 years apart.
func (t Timestamp) Before(u Timestamp) bool { return t.Sub(u) < 0 }

// FromUnix converts seconds and nanoseconds of Unix time, to the nearest unit.
// The era is dropped, so the instant at which one begins gives the zero value.
// Values of nsec outside [0, 1e9) move the seconds.
func FromUnix(sec, nsec int64) Timestamp {
	sec += nsec / 1e9
	if nsec %= 1e9; nsec < 0 {
		nsec += 1e9
		sec--
	}
	frac := (uint64(nsec)<<32 + 5e8) / 1e9 // rounded; at most 2^32 − 4
	return Timestamp(uint64(sec+unixEpoch)<<32 + frac)
}

// FromTime converts a calendar time.
func FromTime(t time.Time) Timestamp { return FromUnix(t.Unix(), int64(t.Nanosecond())) }

// UnixNear converts to Unix seconds and nanoseconds, 0 ≤ nsec < 1e9, to the
// nearest nanosecond, in the era that puts the result within 68 years of pivot
// (Unix seconds). FromUnix gives a nanosecond back unchanged.
func (t Timestamp) UnixNear(pivot int64) (sec, nsec int64) {
	delta := int64(int32(uint32(t>>32) - uint32(pivot+unixEpoch)))
	sec = pivot + delta
	nsec = int64((uint64(uint32(t))*1e9 + 1<<31) >> 32)
	if nsec == 1e9 {
		sec, nsec = sec+1, 0
	}
	return sec, nsec
}

// TimeNear converts to a calendar time in UTC within 68 years of pivot.
func (t Timestamp) TimeNear(pivot time.Time) time.Time {
	sec, nsec := t.UnixNear(pivot.Unix())
	return time.Unix(sec, nsec).UTC()
}

// String prints seconds and fraction in hexadecimal, as packet dumps do.
func (t Timestamp) String() string {
	return fmt.Sprintf("%08x.%08x", uint32(t>>32), uint32(t))
}
