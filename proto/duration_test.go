package proto

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// nearest is n/d to the nearest integer, halves away from zero.
func nearest(n, d *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if r.Lsh(r.Abs(r), 1).CmpAbs(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign()*d.Sign())))
	}
	return q
}

// clamp is v within the range of a Duration.
func clamp(v *big.Int) Duration {
	switch {
	case v.Cmp(big.NewInt(math.MaxInt64)) > 0:
		return MaxDuration
	case v.Cmp(big.NewInt(math.MinInt64)) < 0:
		return MinDuration
	default:
		return Duration(v.Int64())
	}
}

func TestFromSeconds(t *testing.T) {
	tests := []struct {
		seconds float64
		want    Duration
	}{
		{0, 0},
		{math.Copysign(0, -1), 0},
		{1, Second},
		{-1, -Second},
		{0.5, Second / 2},
		{0x1p-32, 1},
		{0x1p-33, 1},                           // half a unit, away from zero
		{-0x1p-33, -1},                         //
		{math.Nextafter(0x1p-33, 0), 0},        // v + 0.5 would be 1
		{-math.Nextafter(0x1p-33, 0), 0},       //
		{0x1.0000000000001p20, 1<<52 + 1},      // v + 0.5 would be even
		{-0x1.0000000000001p20, -(1<<52 + 1)},  //
		{0x1.fffffffffffffp30, 1<<63 - 1<<10},  // the largest that fits
		{-0x1.fffffffffffffp30, 1<<10 - 1<<63}, //
		{0x1p31, MaxDuration},
		{-0x1p31, MinDuration},
		{math.MaxFloat64, MaxDuration}, // the product overflows
		{-math.MaxFloat64, MinDuration},
		{math.Inf(1), MaxDuration},
		{math.Inf(-1), MinDuration},
		{math.NaN(), 0},
		{math.SmallestNonzeroFloat64, 0},
	}
	for _, tt := range tests {
		if got := FromSeconds(tt.seconds); got != tt.want {
			t.Errorf("FromSeconds(%x) = %d, want %d", tt.seconds, int64(got), int64(tt.want))
		}
	}
}

func TestFromSecondsIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Float64Range(-0x1p31, 0x1p31).Draw(t, "seconds")
		units := new(big.Rat).SetFloat64(s)
		units.Mul(units, big.NewRat(1<<32, 1))
		want := clamp(nearest(units.Num(), units.Denom()))
		if got := FromSeconds(s); got != want {
			t.Fatalf("FromSeconds(%x) = %d, want %d", s, got, want)
		}
	})
}

func TestSecondsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { // a float64 has room for 53 bits
		d := Duration(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "duration"))
		if got := FromSeconds(d.Seconds()); got != d {
			t.Fatalf("%d came back as %d", d, got)
		}
	})
}

func TestFromStd(t *testing.T) {
	tests := []struct {
		std  time.Duration
		want Duration
	}{
		{0, 0},
		{1, 4}, // 4.29 units
		{-1, -4},
		{time.Second, Second},
		{-time.Second, -Second},
		{time.Second - 1, Second - 4},
		{-time.Second + 1, 4 - Second},
		{125 * time.Millisecond, Second / 8},
		{1953125, 1 << 23}, // 5^9 ns are exactly 2^23 units
		{-1953125, -1 << 23},
		{(1<<31)*time.Second - 1, math.MaxInt64 - 3},
		{(1 << 31) * time.Second, MaxDuration},
		{math.MaxInt64, MaxDuration},
		{-(1 << 31) * time.Second, MinDuration},
		{-(1<<31)*time.Second - 1, MinDuration},
		{-(1<<31)*time.Second + 1, MinDuration + 4},
		{math.MinInt64, MinDuration},
	}
	for _, tt := range tests {
		if got := FromStd(tt.std); got != tt.want {
			t.Errorf("FromStd(%d) = %d, want %d", tt.std, int64(got), int64(tt.want))
		}
	}
}

func TestFromStdIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64().Draw(t, "ns")
		units := new(big.Int).Lsh(big.NewInt(ns), 32)
		if got, want := FromStd(time.Duration(ns)), clamp(nearest(units, big.NewInt(1e9))); got != want {
			t.Fatalf("FromStd(%d) = %d, want %d", ns, got, want)
		}
	})
}

func TestStd(t *testing.T) {
	tests := []struct {
		d    Duration
		want time.Duration
	}{
		{0, 0},
		{1, 0},
		{2, 0}, // 0.466 ns
		{3, 1}, // 0.698 ns
		{-2, 0},
		{-3, -1},
		{Second, time.Second},
		{-Second, -time.Second},
		{Second - 1, time.Second}, // rounds up into the second
		{Second / 1024, 976563},   // 976562.5 ns
		{-Second / 1024, -976562}, // halves up
		{MaxDuration, (1 << 31) * time.Second},
		{MinDuration, -(1 << 31) * time.Second},
	}
	for _, tt := range tests {
		if got := tt.d.Std(); got != tt.want {
			t.Errorf("Duration(%d).Std() = %d, want %d", int64(tt.d), got, tt.want)
		}
	}
}

func TestStdRoundTrip(t *testing.T) {
	const limit = int64(1<<31) * int64(time.Second)
	rapid.Check(t, func(t *rapid.T) { // a nanosecond is more than four units
		d := time.Duration(rapid.Int64Range(-limit, limit-1).Draw(t, "ns"))
		if got := FromStd(d).Std(); got != d {
			t.Fatalf("%d ns came back as %d", d, got)
		}
	})
}

func TestAbs(t *testing.T) {
	for d, want := range map[Duration]Duration{
		0: 0, 1: 1, -1: 1, MaxDuration: MaxDuration, MinDuration: MaxDuration, MinDuration + 1: MaxDuration,
	} {
		if got := d.Abs(); got != want {
			t.Errorf("Duration(%d).Abs() = %d, want %d", d, got, want)
		}
	}
}

func TestDurationString(t *testing.T) {
	for d, want := range map[Duration]string{
		0: "+0.000000s", Second + Second/2: "+1.500000s", -FromStd(123 * time.Microsecond): "-0.000123s",
	} {
		if got := d.String(); got != want {
			t.Errorf("%d prints %q, want %q", int64(d), got, want)
		}
	}
}

// A root dispersion bounds an error, and rounding it down would make the bound
// a lie.
func TestToShortRoundsUp(t *testing.T) {
	tests := []struct {
		d    Duration
		want Short
	}{
		{MinDuration, 0},
		{-1, 0},
		{0, 0},
		{1, 1},
		{1 << 16, 1},
		{1<<16 + 1, 2},
		{Second, 1 << 16},
		{math.MaxUint32<<16 - 1, math.MaxUint32},
		{math.MaxUint32 << 16, math.MaxUint32},
		{math.MaxUint32<<16 + 1, math.MaxUint32},
		{MaxDuration, math.MaxUint32},
	}
	for _, tt := range tests {
		if got := ToShort(tt.d); got != tt.want {
			t.Errorf("ToShort(%d) = %d, want %d", int64(tt.d), got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, math.MaxUint32<<16).Draw(t, "duration"))
		if wide := ToShort(d).Duration(); wide < d || wide-d >= 1<<16 {
			t.Fatalf("%d became %d", d, wide)
		}
		s := Short(rapid.Uint32().Draw(t, "short"))
		if got := ToShort(s.Duration()); got != s {
			t.Fatalf("%d came back as %d", s, got)
		}
	})
}
