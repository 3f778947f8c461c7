package proto

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestInstantSaturates(t *testing.T) {
	const first = Instant(math.MinInt64)
	sums := []struct {
		i    Instant
		d    time.Duration
		want Instant
	}{
		{1, 2, 3},
		{1, -2, -1},
		{Never, -time.Hour, Never},
		{Never, math.MinInt64, Never},
		{Never - 1, 1, Never},
		{Never - 1, 2, Never},
		{Never - 2, 1, Never - 1},
		{first, -1, first},
		{first + 1, -1, first},
		{first + 2, -1, first + 1},
		{-2, math.MinInt64, first},
		{0, math.MinInt64, first},
	}
	for _, tt := range sums {
		if got := tt.i.Add(tt.d); got != tt.want {
			t.Errorf("%d + %d = %d, want %d", tt.i, tt.d, got, tt.want)
		}
	}
	differences := []struct {
		i, j Instant
		want time.Duration
	}{
		{3, 1, 2},
		{1, 3, -2},
		{7, 7, 0},
		{Never, 0, math.MaxInt64},
		{Never, -1, math.MaxInt64},
		{0, first, math.MaxInt64},
		{-1, first, math.MaxInt64},
		{first, 0, math.MinInt64},
		{first, 1, math.MinInt64},
		{-2, Never, math.MinInt64},
		{0, Never, -math.MaxInt64},
		{first, Never, math.MinInt64},
	}
	for _, tt := range differences {
		if got := tt.i.Sub(tt.j); got != tt.want {
			t.Errorf("%d − %d = %d, want %d", tt.i, tt.j, got, tt.want)
		}
	}
}

func TestRate(t *testing.T) {
	tests := []struct {
		frequency float64
		want      int64
	}{
		{0, 0},
		{0x1p-48, 1},
		{-0x1p-48, -1},
		{0x1.8p-48, 2},
		{100e-6, 28147497671}, // 28147497671.0656
		{-500e-6, -140737488355},
		{0.5, 1 << 47},
		{-1, 1 - 1<<48},
		{-0.9999999999999999, 1 - 1<<48},
		{-7, 1 - 1<<48},
		{8191.5, 8191<<48 + 1<<47},
		{8192, 1<<61 - 1},
		{math.Inf(1), maxRate},
		{math.Inf(-1), 1 - 1<<48},
		{math.NaN(), 0},
	}
	for _, tt := range tests {
		if got := Rate(tt.frequency); got != tt.want {
			t.Errorf("Rate(%g) = %d, want %d", tt.frequency, got, tt.want)
		}
	}
	for _, ppm := range []float64{-500, -1e-6, 0, 30, 499.99} {
		f := ppm * 1e-6
		if got := (Scale{Rate: Rate(f)}).Frequency(); math.Abs(got-f) > 0x1p-49 {
			t.Errorf("%g ppm became %g", ppm, got*1e6)
		}
	}
}

// scaleTime is Scale.Time in exact arithmetic: At plus the elapsed time to the
// nearest unit, halves up, modulo 2^64.
func scaleTime(s Scale, r Raw) Timestamp {
	n := new(big.Int).Sub(big.NewInt(int64(r)), big.NewInt(int64(s.Raw)))
	n.Mul(n, new(big.Int).Add(big.NewInt(rateOne), big.NewInt(s.Rate)))
	d := big.NewInt(1e9 << 16)
	n.Add(n, new(big.Int).Rsh(d, 1)).Div(n, d) // Div rounds down for d > 0
	n.Add(n, new(big.Int).SetUint64(uint64(s.At)))
	return Timestamp(n.Mod(n, new(big.Int).Lsh(big.NewInt(1), 64)).Uint64())
}

func TestScaleTime(t *testing.T) {
	const at = 0xe0000000_00000000
	const half = 9*1e9*(1<<15) - rateOne // the rate at which a nanosecond is 4½ units
	tests := []struct {
		name string
		s    Scale
		r    Raw
		want Timestamp
	}{
		{"at its origin", Scale{Raw: 5, At: at, Rate: 12345}, 5, at},
		{"a second on", Scale{At: at}, 1e9, at + 1<<32},
		{"a second back", Scale{At: at}, -1e9, at - 1<<32},
		{"100 ppm fast", Scale{At: at, Rate: Rate(100e-6)}, 1e9, at + 1<<32 + 429497},
		{"100 ppm slow", Scale{At: at, Rate: Rate(-100e-6)}, 1e9, at + 1<<32 - 429497},
		{"100 ppm fast, backwards", Scale{At: at, Rate: Rate(100e-6)}, -1e9, at - 1<<32 - 429497},
		{"half speed", Scale{At: at, Rate: -1 << 47}, 2e9, at + 1<<32},
		{"into the next era", Scale{At: 1<<64 - 1}, 1e9, 1<<32 - 1},
		{"half a unit rounds up", Scale{At: at, Rate: 1 << 47}, 1953125, at + 3<<22},
		{"just under 4½ units", Scale{At: at, Rate: half - 1}, 1, at + 4},
		{"4½ units round up", Scale{At: at, Rate: half}, 1, at + 5},
		{"−4½ units round up", Scale{At: at, Rate: half}, -1, at - 4},
		{"just over −4½ units", Scale{At: at, Rate: half + 1}, -1, at - 5},
		{"a century on", Scale{At: 1 << 32}, 100 * 365 * 86400 * 1e9, (1 + 100*365*86400) << 32},
		{"two centuries on", Scale{At: 1 << 32}, 200 * 365 * 86400 * 1e9, (1 + 200*365*86400 - 1<<32) << 32},
	}
	for _, tt := range tests {
		if got := tt.s.Time(tt.r); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func drawScale(t *rapid.T) Scale {
	return Scale{
		Raw:  Raw(rapid.Int64Range(-1<<61, 1<<61).Draw(t, "raw")),
		At:   Timestamp(rapid.Uint64().Draw(t, "at")),
		Rate: rapid.Int64Range(1-rateOne, maxRate).Draw(t, "rate"),
	}
}

func TestScaleTimeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScale(t)
		r := s.Raw + Raw(rapid.Int64Range(-1<<62, 1<<62).Draw(t, "elapsed"))
		if got, want := s.Time(r), scaleTime(s, r); got != want {
			t.Fatalf("Time(%d) = %v, want %v", r, got, want)
		}
	})
}

func TestScaleTimeNeverRunsBackwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScale(t)
		s.Rate = rapid.Int64Range(1-rateOne, rateOne).Draw(t, "slow rate")
		r := s.Raw + Raw(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "elapsed"))
		if step := s.Time(r + 1).Sub(s.Time(r)); step < 0 || step > 10 {
			t.Fatalf("a nanosecond is %d units", step)
		}
	})
}

// A new segment that begins on the old one leaves no step, whatever its rate.
func TestScaleSegmentsJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScale(t)
		r := s.Raw + Raw(rapid.Int64Range(0, 1<<50).Draw(t, "elapsed"))
		next := Scale{Raw: r, At: s.Time(r), Rate: Rate(500e-6)}
		if got := next.Time(r); got != s.Time(r) {
			t.Fatalf("%v became %v", s.Time(r), got)
		}
	})
}
