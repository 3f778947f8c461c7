package sim

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// frequencyStep is the resolution of a kernel's clock frequency: 2^-16 ppm.
const frequencyStep = 1e-6 / 65536

// steered is a clock on a wrong oscillator that can be steered. Its error is
// linear in true time between the moments when something changes.
type steered struct {
	epoch proto.Timestamp // true time 0
	model Clock
	rng   random

	t       float64 // true time of the state
	err     float64 // clock minus true time, s
	moved   float64 // sum of all steps of the clock, s: the monotonic clock has none
	raw     float64 // frequency error of the oscillator now
	walk    float64
	base    float64 // frequency asked for
	slew    float64
	left    float64 // of the slew, s on the clock
	nextFix float64 // next whole second
	second  int
	phase   int // phase steps done
}

func newSteered(m Clock, epoch proto.Timestamp, rng random) *steered {
	c := &steered{epoch: epoch, model: m, rng: rng, err: m.Offset}
	c.tick()
	return c
}

// tick evaluates the oscillator for the second that begins now.
func (c *steered) tick() {
	k := float64(c.second)
	m := &c.model
	if m.Wander != 0 {
		c.walk += float64(m.Wander * c.rng.normal())
	}
	c.raw = m.Freq + c.walk
	if m.White != 0 {
		c.raw += float64(m.White * c.rng.normal())
	}
	if m.Sine != nil {
		c.raw += float64(m.Sine.Amp * sine(k/m.Sine.Period))
	}
	if m.Pulse != nil {
		c.raw += m.Pulse.at(k)
	}
	for _, s := range m.Steps {
		if k >= s.At {
			c.raw += s.Add
		}
	}
	for c.phase < len(m.Phases) && m.Phases[c.phase].At <= k {
		c.err += m.Phases[c.phase].Add
		c.phase++
	}
	c.second++
	c.nextFix = float64(c.second)
}

// rate is how fast the error grows.
func (c *steered) rate() float64 {
	f := c.base
	if c.left > 0 {
		f += c.slew
	}
	return c.raw + f + float64(c.raw*f)
}

// advance moves the clock to a true time.
func (c *steered) advance(to float64) {
	for c.t < to {
		end := min(to, c.nextFix)
		rate := c.rate()
		if c.left > 0 {
			if dt := c.left / (1 + rate); c.t+dt <= end {
				c.err += float64(rate * dt)
				c.t += dt
				c.left = 0
				continue
			}
			c.left -= float64((end - c.t) * (1 + rate))
		}
		c.err += float64(rate * (end - c.t))
		c.t = end
		if c.t >= c.nextFix {
			c.tick()
		}
	}
}

// read returns what the clock shows.
func (c *steered) read() proto.Timestamp {
	return c.epoch.Add(proto.FromSeconds(c.t)).Add(proto.FromSeconds(c.err))
}

// mono is the monotonic clock: steered in frequency, never stepped. It counts
// on while the machine sleeps.
func (c *steered) mono() proto.Instant {
	return proto.Instant(math.Floor((c.t + c.err - c.moved - c.model.Offset + 1) * 1e9))
}

func (c *steered) now() proto.Now { return proto.Now{Mono: c.mono(), Wall: c.read()} }

// when is the true time at which the monotonic clock will reach an instant, if
// nothing changes.
func (c *steered) when(i proto.Instant) float64 {
	ns := float64(i - c.mono())
	if ns <= 0 {
		return c.t
	}
	return c.t + float64((ns+1)*1e-9/(1+c.rate()))
}

// apply carries out an adjustment.
func (c *steered) apply(a kalman.Adjustment) kalman.Applied {
	a.Frequency = quantised(a.Frequency)
	if a.For <= 0 {
		a.Slew = 0
	}
	a.Slew = quantised(a.Frequency+a.Slew) - a.Frequency
	c.base, c.slew, c.left = a.Frequency, a.Slew, a.For.Seconds()
	c.err += a.Step.Seconds()
	c.moved += a.Step.Seconds()
	return kalman.Applied{At: c.read(), Mono: c.mono(), Adjustment: a}
}

// quantised is a frequency that a kernel can run at: at most 500 ppm.
func quantised(f float64) float64 {
	f = min(max(f, -500e-6), 500e-6)
	return math.Floor(f/frequencyStep+0.5) * frequencyStep
}
