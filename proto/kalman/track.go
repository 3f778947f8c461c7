package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// track follows a source against raw time: offset x (s, relative to origin)
// and its rate w (s/s), with their covariance.
type track struct {
	origin        proto.Duration
	at            rawTime
	x, w          float64
	pxx, pxw, pww float64
}

// predict moves the track to a later time. q is the variance that the rate
// gains each second. Earlier times only move the mean.
func (t *track) predict(r rawTime, q float64) {
	dt := r.since(t.at)
	t.x += float64(t.w * dt)
	t.at = r
	if dt <= 0 {
		return
	}
	t.pxx += float64(2*dt*t.pxw) + float64(dt*dt*t.pww) + float64(q*dt*dt*dt/3)
	t.pxw += float64(dt*t.pww) + float64(q*dt*dt/2)
	t.pww += float64(q * dt)
}

// update takes in an offset with a noise variance.
func (t *track) update(offset proto.Duration, r float64) {
	s := t.pxx + r
	kx, kw := t.pxx/s, t.pxw/s
	v := (offset - t.origin).Seconds() - t.x
	t.x += float64(kx * v)
	t.w += float64(kw * v)
	t.pww -= float64(kw * t.pxw)
	t.pxw *= 1 - kx
	t.pxx *= 1 - kx
}

// offset is the estimate in whole units.
func (t *track) offset() proto.Duration { return t.origin + proto.FromSeconds(t.x) }

// delays remembers round trips to tell how far from the shortest one is.
type delays struct {
	ring [64]float64
	n    int
}

func (d *delays) add(v float64) {
	d.ring[d.n%len(d.ring)] = v
	d.n++
}

func (d *delays) min() float64 {
	m := math.Inf(1)
	for _, v := range d.ring[:min(d.n, len(d.ring))] {
		m = min(m, v)
	}
	return m
}

// mean excess over the shortest.
func (d *delays) spread() float64 {
	n := min(d.n, len(d.ring))
	if n == 0 {
		return 0
	}
	sum, m := 0.0, d.min()
	for _, v := range d.ring[:n] {
		sum += v - m
	}
	return sum / float64(n)
}
