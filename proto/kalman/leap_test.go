package kalman

import (
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

func TestMonthDay(t *testing.T) {
	for at := time.Date(1968, 2, 1, 12, 0, 0, 0, time.UTC); at.Year() < 2104; at = at.Add(24 * time.Hour) {
		month, day := monthDay(proto.FromTime(at))
		if month != int(at.Month()) || day != at.Day() {
			t.Fatalf("%v: %d-%d", at, month, day)
		}
	}
}

// No other day than the last of June and of December ever had a leap second.
func TestLeapDays(t *testing.T) {
	for at := time.Date(2024, 1, 1, 23, 59, 0, 0, time.UTC); at.Year() < 2040; at = at.Add(24 * time.Hour) {
		half := at.Month() == time.June || at.Month() == time.December
		if want := half && at.Add(time.Hour).Day() == 1; leapDay(proto.FromTime(at)) != want {
			t.Errorf("%v: %v, want %v", at, !want, want)
		}
	}
}

func leapWorld(t *testing.T, start time.Time, leaps ...proto.Leap) *world {
	w := newWorld(t, 0.1, 20e-6)
	w.epoch = proto.FromTime(start)
	for _, leap := range leaps {
		w.add(1, server{delay: 1e-3, jitter: 1e-4, edit: func(e *Exchange) { e.Leap = leap }})
	}
	return w
}

// A leap second needs more than half of the sources that are used, and a day
// that can have one.
func TestLeapVote(t *testing.T) {
	december := time.Date(2026, 12, 31, 20, 0, 0, 0, time.UTC)
	const none, insert, remove, unknown = proto.LeapNone, proto.LeapInsert, proto.LeapDelete, proto.LeapUnsynchronised
	tests := []struct {
		name  string
		start time.Time
		says  []proto.Leap
		want  proto.Leap
	}{
		{"all", december, []proto.Leap{insert, insert, insert}, insert},
		{"two of three", december, []proto.Leap{insert, none, insert}, insert},
		{"one of three", december, []proto.Leap{insert, none, none}, none},
		{"a tie", december, []proto.Leap{insert, insert, none, none}, none},
		{"one removed", december, []proto.Leap{remove, remove}, remove},
		{"those that do not know are no sources", december, []proto.Leap{insert, insert, unknown, unknown, none}, insert},
		{"in June", time.Date(2027, 6, 30, 1, 0, 0, 0, time.UTC), []proto.Leap{insert}, insert},
		{"in May", time.Date(2027, 5, 31, 1, 0, 0, 0, time.UTC), []proto.Leap{insert}, none},
		{"a day too early", time.Date(2026, 12, 30, 1, 0, 0, 0, time.UTC), []proto.Leap{insert}, none},
		{"in the next era", time.Date(2037, 12, 31, 1, 0, 0, 0, time.UTC), []proto.Leap{insert}, insert},
	}
	for _, tt := range tests {
		w := leapWorld(t, tt.start, tt.says...)
		w.run(120, nil)
		if e := w.d.Estimate(w.time()); e.Leap != tt.want || !e.Synchronised {
			t.Errorf("%s: %v, want %v", tt.name, e.Leap, tt.want)
		}
	}
}

// The leap second itself moves the clock and the truth alike: nothing is to be
// corrected.
func TestLeapSecondPasses(t *testing.T) {
	for _, tt := range []struct {
		leap proto.Leap
		by   float64
	}{{proto.LeapInsert, -1}, {proto.LeapDelete, 1}} {
		w := leapWorld(t, time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC), tt.leap, tt.leap)
		w.run(3600.5, nil)
		steps, slews := len(w.steps), w.slews
		// The clock and the servers all take the second at midnight.
		w.epoch = w.epoch.Add(proto.FromSeconds(tt.by))
		w.slewEnd += 0 // the slew goes on
		w.d.Jumped(w.time(), proto.FromSeconds(tt.by), 0)
		for _, s := range w.servers {
			s.edit = nil
		}
		w.run(3606, nil)
		if len(w.steps) != steps || w.slews > slews+1 {
			t.Errorf("%v: steps %v, %d slews in the seconds after", tt.leap, w.steps[steps:], w.slews-slews)
		}
		w.run(7200, func() {
			if w.clock > 1e-3 || w.clock < -1e-3 {
				t.Fatalf("%v: off by %v s", tt.leap, w.clock)
			}
		})
		if len(w.steps) != steps || w.noted("clock-meddling") != 0 {
			t.Errorf("%v: steps %v, notes %v", tt.leap, w.steps[steps:], w.notes)
		}
	}
}

// A second that nobody announced is somebody's doing.
func TestUnannouncedSecondIsMeddling(t *testing.T) {
	w := leapWorld(t, time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC), proto.LeapNone)
	w.run(3600.5, nil)
	w.clock--
	w.d.Jumped(w.time(), -proto.Second, 0)
	w.run(3700, nil)
	if w.noted("clock-meddling") != 1 || w.clock > 1e-3 || w.clock < -1e-3 {
		t.Errorf("off by %v s, noticed %d times", w.clock, w.noted("clock-meddling"))
	}
}
