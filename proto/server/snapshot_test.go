package server

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// TestUnsynchronised: leap indicator 3 and stratum 16 whenever there is
// nothing to be synchronised to, and whenever nobody looks after the clock.
func TestUnsynchronised(t *testing.T) {
	edit := func(change func(*TimeSnapshot)) *TimeSnapshot {
		s := synchronised()
		change(s)
		return s
	}
	for _, test := range []struct {
		name     string
		snapshot *TimeSnapshot
		want     bool
	}{
		{"fresh", synchronised(), false},
		{"no snapshot yet", nil, true},
		{"at its end", edit(func(s *TimeSnapshot) { s.ValidUntil = atMono }), false},
		{"too old", edit(func(s *TimeSnapshot) { s.ValidUntil = atMono - 1 }), true},
		{"stratum 16", edit(func(s *TimeSnapshot) { s.Stratum = 16 }), true},
		{"stratum 255", edit(func(s *TimeSnapshot) { s.Stratum = 255 }), true},
		{"stratum 0 would be a kiss", edit(func(s *TimeSnapshot) { s.Stratum = 0 }), true},
		{"stratum 1", edit(func(s *TimeSnapshot) { s.Stratum = 1 }), false},
		{"stratum 15", edit(func(s *TimeSnapshot) { s.Stratum = 15 }), false},
		{"leap 3", edit(func(s *TimeSnapshot) { s.Leap = proto.LeapUnsynchronised }), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Config{Versions: Version3And4}, nil)
			out, v := r.Respond(nil, from("192.0.2.9", plain(4)), test.snapshot, nil, transmitAt(txTime))
			h := header(t, out)
			if v != Accepted || h.Receive != rxTime || h.Transmit != txTime {
				t.Errorf("%v %+v", v, h)
			}
			if test.want && (h.Leap != proto.LeapUnsynchronised || h.Stratum != proto.MaxStratum || h.RefID.String() != "XNON") {
				t.Errorf("leap %v, stratum %d, reference %v", h.Leap, h.Stratum, h.RefID)
			}
			if !test.want && (h.Leap == proto.LeapUnsynchronised || h.Stratum != test.snapshot.Stratum || h.RefID != test.snapshot.RefID) {
				t.Errorf("leap %v, stratum %d, reference %v", h.Leap, h.Stratum, h.RefID)
			}
		})
	}
}

// TestDispersionGrows: "the dispersion field in the packet header must be
// updated" (RFC 5905 section 14).
func TestDispersionGrows(t *testing.T) {
	for _, test := range []struct {
		name string
		base proto.Duration
		rate float64
		age  int64 // ns
		want proto.Short
	}{
		{"at once", proto.Second, 15e-6, 0, 0x10000},
		{"15 ppm for 1000 s, rounded up", proto.Second, 15e-6, 1000e9, 0x10000 + 984},
		{"earlier than the snapshot", proto.Second, 15e-6, -1e9, 0x10000},
		{"shrinking is refused", proto.Second, -1, 1e9, 0x10000},
		{"no number", proto.Second, math.NaN(), 1e9, 0x10000},
		{"without end", proto.Second, math.Inf(1), 1e9, math.MaxUint32},
		{"saturated", proto.MaxDuration, 1, 1e9, math.MaxUint32},
	} {
		s := TimeSnapshot{RootDispersion: test.base, DispersionRate: test.rate, Mono: atMono, ValidUntil: proto.Never}
		if got := s.header(atMono + proto.Instant(test.age)).RootDispersion; got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
	}
}
