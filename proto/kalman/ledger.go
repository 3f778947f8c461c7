package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// rawTime is a point on the oscillator's own timescale: what the clock would
// show had no one ever corrected it. Units and wrapping are those of a
// Timestamp. The filter lives on this scale, so steering never disturbs it.
type rawTime proto.Timestamp

// sub returns r − q.
func (r rawTime) sub(q rawTime) proto.Duration { return proto.Timestamp(r).Sub(proto.Timestamp(q)) }

// since returns r − q in seconds.
func (r rawTime) since(q rawTime) float64 { return r.sub(q).Seconds() }

// maxSegments bounds the ledger. A segment is needed while an exchange that
// began in it may still be under way; there are at most two a correction.
const maxSegments = 64

// segment says how the clock runs from the moment it showed at: (1+freq)
// seconds a raw second.
type segment struct {
	at      proto.Timestamp
	raw     rawTime
	freq    float64
	planned bool // the end of a slew that is still running
}

// ledger is every correction ever made to the clock, as far as it is still
// needed: the map between the clock and raw time.
type ledger struct{ segs []segment }

// start makes raw time equal to the clock now.
func (l *ledger) start(now proto.Timestamp, freq float64) {
	l.segs = append(l.segs[:0], segment{at: now, raw: rawTime(now), freq: freq})
}

func (l *ledger) started() bool { return len(l.segs) > 0 }

// raw converts a reading of the clock. Where a backward step made the clock
// show the same time twice it means the later one.
func (l *ledger) raw(t proto.Timestamp) rawTime {
	s := l.segs[0]
	for i := len(l.segs) - 1; i > 0; i-- {
		if l.segs[i].at.Sub(t) <= 0 {
			s = l.segs[i]
			break
		}
	}
	return s.toRaw(t)
}

// clock converts raw time to what the clock shows then.
func (l *ledger) clock(r rawTime) proto.Timestamp {
	s := l.segs[0]
	for i := len(l.segs) - 1; i > 0; i-- {
		if l.segs[i].raw.sub(r) <= 0 {
			s = l.segs[i]
			break
		}
	}
	dt := r.sub(s.raw)
	return s.at.Add(dt + scaled(dt, s.freq))
}

// rate is the frequency at which the clock runs at a raw time.
func (l *ledger) rate(r rawTime) float64 {
	for i := len(l.segs) - 1; i > 0; i-- {
		if l.segs[i].raw.sub(r) <= 0 {
			return l.segs[i].freq
		}
	}
	return l.segs[0].freq
}

func (s segment) toRaw(t proto.Timestamp) rawTime {
	dt := t.Sub(s.at)
	return rawTime(proto.Timestamp(s.raw).Add(dt - scaled(dt, s.freq/(1+s.freq))))
}

// scaled is d·f, to the nearest unit.
func scaled(d proto.Duration, f float64) proto.Duration {
	return proto.Duration(math.Floor(float64(float64(d)*f) + 0.5))
}

// cut takes back the slew that was still planned at the reading t.
func (l *ledger) cut(t proto.Timestamp) {
	n := len(l.segs) - 1
	if n > 0 && l.segs[n].planned && l.segs[n].at.Sub(t) > 0 {
		l.segs = l.segs[:n]
	}
}

// apply records what the clock did.
func (l *ledger) apply(a Applied) {
	before := a.At.Add(-a.Step)
	l.cut(before)
	s := segment{at: a.At, raw: l.raw(before), freq: a.Frequency}
	if a.For <= 0 || a.Slew == 0 {
		l.push(s)
		return
	}
	s.freq += a.Slew
	end := a.At.Add(proto.FromStd(a.For))
	l.push(s)
	l.push(segment{at: end, raw: s.toRaw(end), freq: a.Frequency, planned: true})
}

// jump records that someone else moved the clock by this much just before it
// showed now. The frequency, and a slew under way, go on.
func (l *ledger) jump(now proto.Timestamp, by proto.Duration) {
	before := now.Add(-by)
	r := l.raw(before)
	s := segment{at: now, raw: r, freq: l.rate(r)}
	n := len(l.segs) - 1
	if last := l.segs[n]; last.planned && last.at.Sub(before) > 0 {
		l.segs = l.segs[:n]
		l.push(s)
		last.at = last.at.Add(by)
		l.push(last)
		return
	}
	l.push(s)
}

func (l *ledger) push(s segment) {
	if len(l.segs) == maxSegments {
		l.segs = append(l.segs[:0], l.segs[maxSegments/2:]...)
	}
	l.segs = append(l.segs, s)
}
