package main

import (
	"math/bits"
	"time"
)

// latencies is a histogram of times with a resolution of 1/32 of each, from a
// nanosecond to minutes.
type latencies struct {
	buckets [40 << resolution]uint64
	n       uint64
	longest time.Duration
}

const resolution = 5

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<resolution {
		return int(v)
	}
	exponent := bits.Len64(v) - resolution - 1
	return exponent<<resolution + int(v>>exponent)
}

// floor is the least time of a bucket.
func floor(bucket int) time.Duration {
	if bucket < 1<<resolution {
		return time.Duration(bucket)
	}
	exponent := bucket>>resolution - 1
	return time.Duration(bucket-exponent<<resolution) << exponent
}

func (l *latencies) add(d time.Duration) {
	l.buckets[min(bucket(d), len(l.buckets)-1)]++
	l.n++
	l.longest = max(l.longest, d)
}

// quantile is a time that a part q of all is not longer than, to the
// resolution; 0 without any.
func (l *latencies) quantile(q float64) time.Duration {
	left := uint64(q * float64(l.n))
	for i, n := range l.buckets {
		if n > left {
			return min(floor(i+1), l.longest)
		}
		left -= n
	}
	return l.longest
}
