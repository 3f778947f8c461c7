package sim

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// path is one direction of a link with its state.
type path struct {
	model *Link
	rng   random
	queue float64 // normalised log length of the queue, at time t
	t     float64
}

// delay draws what happens to a packet sent at a true time: how long it takes,
// or that it is lost. A delay of nought or less means lost.
func (p *path) delay(t float64) (d float64, ok bool) {
	m := p.model
	d = m.Base + p.jitter()
	if b := m.Burst; b != nil && p.rng.Float64() < b.P {
		d += float64(b.Scale * p.rng.exponential())
	}
	for _, c := range m.Changes {
		if c.From <= t && t <= c.To {
			d += c.Add
		}
	}
	if c := m.Congestion; c != nil && math.Mod(t, c.Period) <= c.Duration {
		d += float64(c.Scale * p.rng.exponential())
	}
	if m.Queue != nil {
		d += p.wait(t)
	}
	lost := m.Loss > 0 && p.rng.Float64() < m.Loss
	return d, !lost && d > 0 && !holds(m.Down, t)
}

func (p *path) jitter() float64 {
	switch j := &p.model.Jitter; j.Dist {
	case "exponential":
		return j.Scale * p.rng.exponential()
	case "normal":
		return j.Scale * p.rng.normal()
	case "gamma":
		return j.Scale * p.rng.gamma(j.Shape)
	case "lomax":
		d := j.Scale * p.rng.lomax(j.Alpha)
		if j.Cap > 0 {
			d = min(d, j.Cap)
		}
		return d
	default:
		return 0
	}
}

// wait in the queue with memory: exponential with a mean that wanders.
func (p *path) wait(t float64) float64 {
	q := p.model.Queue
	keep := exact.Exp(-(t - p.t) / q.Memory)
	p.queue = float64(p.queue*keep) + float64(math.Sqrt(1-float64(keep*keep))*p.rng.normal())
	p.t = t
	log := float64(q.Sigma*p.queue) + float64(q.Day*sine(t/86400))
	return float64(q.Scale*exact.Exp(log)) * p.rng.exponential()
}
