package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A time lies in its bucket, and a bucket is no wider than 1/32 of it.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "d"))
		b := bucket(d)
		if low, high := floor(b), floor(b+1); d < low || d >= high || high-low > max(1, low/(1<<resolution)) {
			t.Fatalf("%v lies in bucket %d, %v to %v", d, b, low, high)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var l latencies
	if l.quantile(0.5) != 0 {
		t.Error("something out of nothing")
	}
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]int{0: 1, 0.5: 501, 0.99: 991, 0.999: 1000, 1: 1000} {
		got, want := l.quantile(q), time.Duration(want)*time.Microsecond
		if got < want || got > want+want/(1<<resolution)+1 {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	l.add(-time.Second) // a clock that was set: it has a place all the same
	if l.n != 1001 || l.longest != time.Millisecond {
		t.Errorf("%d, %v", l.n, l.longest)
	}
}
