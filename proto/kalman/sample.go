package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// sample is one observation on the raw timescale.
type sample struct {
	at       rawTime        // when the offset held
	offset   proto.Duration // source minus raw time
	delay    float64        // round trip, s, > 0; 0 for a reference clock
	noise    float64        // standard deviation of the stamps, s, > 0
	distance float64        // the server's root distance, s
	period   float64        // the offset is known modulo this, s; 0 when whole
	accuracy float64        // bound on the constant error of a reference, s
}

// rawExchange converts an exchange. It fails, with why, when the stamps
// contradict themselves; values that are merely bad are for the filter.
func (l *ledger) exchange(e Exchange, maxRoundTrip float64) (sample, string) {
	if e.T1.At.IsZero() || e.T4.At.IsZero() || e.T2.IsZero() || e.T3.IsZero() {
		return sample{}, "a timestamp is missing"
	}
	r1, r4 := l.raw(e.T1.At), l.raw(e.T4.At)
	local, remote := r4.sub(r1), e.T3.Sub(e.T2)
	if local < 0 {
		return sample{}, "the answer precedes the request"
	}
	if remote < 0 {
		return sample{}, "the server sent its answer before it received the request"
	}
	if local.Seconds() > maxRoundTrip || remote.Seconds() > maxRoundTrip {
		return sample{}, "the exchange took too long"
	}
	noise := stampNoise(e)
	delay := (local - remote).Seconds()
	if delay < -4*noise {
		return sample{}, "the server took longer than the exchange"
	}
	there := e.T2.Sub(proto.Timestamp(r1))
	back := e.T3.Sub(proto.Timestamp(r4))
	return sample{
		at:       rawTime(proto.Timestamp(r1).Add(local / 2)),
		offset:   there + (back-there)/2,
		delay:    max(delay, noise),
		noise:    noise,
		distance: finite(float64(e.RootDelay.Seconds()/2) + e.RootDispersion.Seconds()),
	}, ""
}

// stampNoise is the standard deviation that the stamps of an exchange add to
// its offset and delay: what they say themselves, and the precision of the
// server's clock.
func stampNoise(e Exchange) float64 {
	p := math.Ldexp(1, int(min(max(e.Precision, -30), 0)))
	s1, s4 := e.T1.Err.Seconds(), e.T4.Err.Seconds()
	return math.Sqrt(minStampNoise*minStampNoise + float64(p*p)/6 + (float64(s1*s1)+float64(s4*s4))/2)
}

// reference converts a sample of a reference clock.
func (l *ledger) reference(r Reference) (sample, string) {
	if r.Stamp.At.IsZero() {
		return sample{}, "a timestamp is missing"
	}
	at := l.raw(r.Stamp.At)
	p, s := max(r.Precision.Seconds(), minStampNoise), r.Stamp.Err.Seconds()
	return sample{
		at:       at,
		offset:   r.Offset + r.Stamp.At.Sub(proto.Timestamp(at)),
		noise:    math.Sqrt(float64(p*p) + float64(s*s)),
		period:   max(r.Period.Seconds(), 0),
		accuracy: max(r.Accuracy.Seconds(), 0),
	}, ""
}

// finite keeps a distance within what arithmetic stands.
func finite(d float64) float64 { return min(max(d, 0), 1e5) }
