package pool

import "time"

// slowTrip is a round trip to a source that costs clients patience: from there
// on its share goes down.
const slowTrip = 400 * time.Millisecond

// quality is what is known of how well a source does, for its share of the
// clients. It starts full. The caller of its methods holds the lock of the leg.
type quality struct {
	failed float64       // 0 to 1: how many exchanges fail, the last ones most
	trip   time.Duration // smoothed time of an exchange over a kept connection; 0: none yet
}

// outcome notes how an exchange came out.
func (q *quality) outcome(good bool) {
	this := 1.0
	if good {
		this = 0
	}
	if q.failed += (this - q.failed) / 8; q.failed < 1.0/64 {
		q.failed = 0
	}
}

// took notes the time of an exchange.
func (q *quality) took(d time.Duration) {
	if q.trip == 0 {
		q.trip = d
		return
	}
	q.trip += (d - q.trip) / 8
}

// value is from 1 to fullQuality. A source that always failed comes back with
// little and gets its share within a dozen exchanges, and one far away is
// left a quarter.
func (q *quality) value() uint32 {
	v := fullQuality * max(0.05, 1-q.failed)
	if q.trip > slowTrip {
		v *= max(0.25, float64(slowTrip)/float64(q.trip))
	}
	return uint32(v)
}
