package proto

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// RFC 5905 figure 4, the dates whose calendar Go shares.
func TestHistoricDates(t *testing.T) {
	tests := []struct {
		date string
		want uint32 // era offset
	}{
		{"1899-12-31", 4294880896},
		{"1900-01-01", 0},
		{"1970-01-01", 2208988800},
		{"1972-01-01", 2272060800},
		{"1999-12-31", 3155587200},
		{"2036-02-08", 63104},
	}
	for _, tt := range tests {
		date, err := time.Parse(time.DateOnly, tt.date)
		if err != nil {
			t.Fatal(err)
		}
		got := FromTime(date)
		if got != Timestamp(tt.want)<<32 {
			t.Errorf("%s is %v, want %d seconds", tt.date, got, tt.want)
		}
		if back := got.TimeNear(date.AddDate(60, 0, 0)); !back.Equal(date) {
			t.Errorf("%s came back as %v", tt.date, back)
		}
	}
}

// "If the client is set within 68 years of the server before the protocol is
// started, correct values are obtained even if the client and server are in
// adjacent eras" (RFC 5905 section 6).
func TestDifferencesAcrossTheEraAreRight(t *testing.T) {
	before := FromTime(time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC))
	after := FromTime(time.Date(2036, 2, 7, 6, 28, 17, 0, time.UTC))
	if before != 0xffffffff<<32 || after != 1<<32 {
		t.Fatalf("the era rolls over at %v and %v", before, after)
	}
	if got := after.Sub(before); got != 2*Second {
		t.Errorf("after − before = %v", got)
	}
	if got := before.Sub(after); got != -2*Second {
		t.Errorf("before − after = %v", got)
	}
	if !before.Before(after) || after.Before(before) || before.Before(before) {
		t.Error("order is lost at the rollover")
	}
	if got := before.Add(2 * Second); got != after {
		t.Errorf("before + 2 s = %v", got)
	}
}

func TestSubAndAddAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Timestamp(rapid.Uint64().Draw(t, "a"))
		b := Timestamp(rapid.Uint64().Draw(t, "b"))
		d := Duration(rapid.Int64().Draw(t, "d"))
		if got := b.Add(a.Sub(b)); got != a {
			t.Fatalf("b + (a − b) = %v", got)
		}
		if got := a.Add(d).Sub(a); got != d {
			t.Fatalf("(a + d) − a = %v", got)
		}
		if ab, ba := a.Sub(b), b.Sub(a); ab != MinDuration && ab != -ba {
			t.Fatalf("a − b = %v, b − a = %v", ab, ba)
		}
	})
}

func TestFromUnix(t *testing.T) {
	tests := []struct {
		sec, nsec int64
		want      Timestamp
	}{
		{0, 0, 2208988800 << 32},
		{0, 1, 2208988800<<32 + 4},
		{0, 5e8, 2208988800<<32 + 1<<31},
		{0, 999999999, 2208988800<<32 + 1<<32 - 4},
		{0, 1e9, 2208988801 << 32},
		{-1, 0, 2208988799 << 32},
		{0, -1, 2208988800<<32 - 4},
		{0, -1e9, 2208988799 << 32},
		{1, -2500000000, 2208988800<<32 - 3<<31},
		{-2208988800, 0, 0},
		{-2208988801, 0, 0xffffffff << 32}, // era −1
		{2085978495, 999999999, 1<<64 - 4}, // the last nanosecond of era 0
		{2085978496, 0, 0},                 // era 1
		{2085978496 + 1<<32, 1, 4},         // era 2
	}
	for _, tt := range tests {
		if got := FromUnix(tt.sec, tt.nsec); got != tt.want {
			t.Errorf("FromUnix(%d, %d) = %v, want %v", tt.sec, tt.nsec, got, tt.want)
		}
	}
}

func TestUnixNear(t *testing.T) {
	const rollover = 2085978496 // 2036-02-07T06:28:16Z
	tests := []struct {
		at        Timestamp
		pivot     int64
		sec, nsec int64
	}{
		{0, rollover, rollover, 0},
		{0, 0, rollover, 0}, // from 1970, 2036 is nearer than 1900
		{0, -1 << 30, -unixEpoch, 0},
		{1<<64 - 1, rollover, rollover, 0},             // rounds up into the next second, and era
		{1<<64 - 2, rollover, rollover, 0},             //
		{1<<64 - 3, rollover, rollover - 1, 999999999}, //
		{1 << 32, rollover + 1<<31, rollover + 1, 0},
		{1 << 32, rollover + 1<<31 + 2, rollover + 1 + 1<<32, 0},
		{0x80000000 << 32, rollover, rollover - 1<<31, 0}, // 68 years either way: the past
	}
	for _, tt := range tests {
		sec, nsec := tt.at.UnixNear(tt.pivot)
		if sec != tt.sec || nsec != tt.nsec {
			t.Errorf("%v near %d = %d.%09d, want %d.%09d", tt.at, tt.pivot, sec, nsec, tt.sec, tt.nsec)
		}
	}
}

func TestUnixRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pivot := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "pivot")
		sec := pivot + rapid.Int64Range(-1<<31, 1<<31-1).Draw(t, "delta")
		nsec := rapid.Int64Range(0, 999999999).Draw(t, "nsec")
		gotSec, gotNsec := FromUnix(sec, nsec).UnixNear(pivot)
		if gotSec != sec || gotNsec != nsec {
			t.Fatalf("%d.%09d came back as %d.%09d", sec, nsec, gotSec, gotNsec)
		}
	})
}

func TestUnixNearIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Timestamp(rapid.Uint64().Draw(t, "at"))
		sec, nsec := at.UnixNear(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "pivot"))
		if nsec < 0 || nsec >= 1e9 {
			t.Fatalf("nanoseconds %d", nsec)
		}
		if d := FromUnix(sec, nsec).Sub(at).Abs(); d > 3 { // half a nanosecond and half a unit
			t.Fatalf("%d units away", d)
		}
	})
}

func TestTimestampString(t *testing.T) {
	if got := Timestamp(0xe1234567_00abcdef).String(); got != "e1234567.00abcdef" {
		t.Errorf("prints %q", got)
	}
}

func TestZeroIsUnknown(t *testing.T) {
	if !Timestamp(0).IsZero() || Timestamp(1).IsZero() || Timestamp(math.MaxUint64).IsZero() {
		t.Error("only the value zero is unknown")
	}
}
