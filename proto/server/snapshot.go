package server

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// TimeSnapshot is what is known about the clock that is served, at one moment.
// It does not change after it was published. Where the time itself comes from
// is not part of it: a request carries when it arrived, and the transmit
// timestamp is read from the clock at the end.
type TimeSnapshot struct {
	Leap           proto.Leap
	Stratum        uint8 // 1–15; MaxStratum, or anything else, while unsynchronised
	RefID          proto.RefID
	Reference      proto.Timestamp // when the clock was last set or corrected
	RootDelay      proto.Duration
	RootDispersion proto.Duration // at Mono
	DispersionRate float64        // s/s; how fast RootDispersion grows
	Precision      int8           // of reading the clock, log2 seconds
	Mono           proto.Instant  // when this was true
	// ValidUntil is when whoever publishes snapshots must have died: later
	// than that the clock counts as unsynchronised.
	ValidUntil proto.Instant
}

// refUnsynchronised is the reference identifier of a server without a source.
// A code that begins with "X" "MUST be ignored if not recognized" (RFC 5905
// section 7.4) by a client that takes it for a kiss.
var refUnsynchronised = proto.RefIDText("XNON")

// unpublished is served before there is a snapshot.
var unpublished = TimeSnapshot{Leap: proto.LeapUnsynchronised, Stratum: proto.MaxStratum, Precision: -18, ValidUntil: proto.Never}

// header fills in all that a response says about the clock at an instant. An
// unsynchronised clock has leap indicator 3 and stratum 16 (RFC 5905 section
// 7.3), and no reference.
func (s *TimeSnapshot) header(at proto.Instant) proto.Header {
	h := proto.Header{
		Leap:           s.Leap,
		Stratum:        s.Stratum,
		Precision:      s.Precision,
		RootDelay:      proto.ToShort(s.RootDelay),
		RootDispersion: proto.ToShort(s.dispersion(at)),
		RefID:          s.RefID,
		Reference:      s.Reference,
	}
	if at > s.ValidUntil || s.Stratum < 1 || s.Stratum >= proto.MaxStratum || s.Leap >= proto.LeapUnsynchronised {
		h.Leap, h.Stratum, h.RefID = proto.LeapUnsynchronised, proto.MaxStratum, refUnsynchronised
	}
	return h
}

// dispersion is the root dispersion at an instant: "the dispersion field in
// the packet header must be updated" (RFC 5905 section 14).
func (s *TimeSnapshot) dispersion(at proto.Instant) proto.Duration {
	age := float64(at.Sub(s.Mono)) / float64(time.Second)
	growth := proto.FromSeconds(float64(s.DispersionRate * age))
	return addCapped(s.RootDispersion, max(growth, 0))
}

// addCapped adds two durations, b ≥ 0, saturating.
func addCapped(a, b proto.Duration) proto.Duration {
	if a > proto.MaxDuration-b {
		return proto.MaxDuration
	}
	return a + b
}
