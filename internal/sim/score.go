package sim

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Result is what one run of a scenario came to. Errors are in seconds.
type Result struct {
	Scenario  *Scenario
	Seed      uint64
	Square    float64 // mean squared error in the statistics window
	Median    float64 // of the absolute error
	P99       float64
	Max       float64
	Polls     float64 // an hour and server
	To1ms     float64 // s; +Inf when never
	To100us   float64
	Bounded   float64 // share of samples inside the published error
	Slack     float64 // median of the published error over what it must allow for: delay/2 + 3σ
	Sigma1    float64 // share within one published standard deviation
	Sigma2    float64
	Steps     int
	Steered   bool
	Halt      string
	HaltAt    float64
	Incidents []Incident
	Final     float64 // error at the end
	Curve     []Point // the whole run, coarsely, for pictures
	Peer      *Result // of the other node, if there is one
}

// Point is a stretch of a run: its first second, the least and the largest
// error in it, and the published error at its end, in seconds.
type Point struct{ T, Low, High, Bound float64 }

// curvePoints is about how many points a curve has.
const curvePoints = 300

// settled is how long an error must stay small to count as converged.
const settled = 600

// Run runs a scenario with a seed. trace gets a line for what happens, unless
// it is nil.
func Run(s *Scenario, seed uint64, trace func(format string, args ...any)) (*Result, error) {
	cfg, err := build(s.toml())
	if err != nil {
		return nil, err
	}
	w := newWorld(s, seed, cfg)
	w.trace = trace
	c := newScore(w, seed)
	if s.Peer == nil {
		w.run(c.see)
		return c.finish(), nil
	}
	other, err := w.pair(seed)
	if err != nil {
		return nil, err
	}
	d := newScore(other, seed)
	together(w, c.see, other, d.see)
	r := c.finish()
	r.Peer = d.finish()
	return r, nil
}

// score watches a run.
type score struct {
	w                *world
	r                *Result
	gauge            gauge
	reach1, reach100 reacher
	within1, within2 int
	slack            []float64
	stretch          float64 // of a point of the curve, s
}

func newScore(w *world, seed uint64) *score {
	return &score{
		w: w, r: &Result{Scenario: w.scenario, Seed: seed}, reach1: reacher{limit: 1e-3}, reach100: reacher{limit: 100e-6},
		stretch: max(math.Floor(w.scenario.Duration/curvePoints), 1),
	}
}

// see looks at the world, once a second.
func (c *score) see() {
	w := c.w
	t, e := w.clock.t, w.clock.err
	bound := w.bound()
	c.r.plot(t, e, bound, c.stretch)
	c.reach1.see(t, e)
	c.reach100.see(t, e)
	c.r.Final = e
	if t < w.scenario.StatsFrom {
		return
	}
	c.gauge.take(e, bound)
	status := w.engine.Status(w.clock.now())
	sigma := status.Sigma.Seconds()
	c.slack = append(c.slack, bound/(w.snapshot.RootDelay.Seconds()/2+3*sigma))
	if left := math.Abs(e + status.Offset.Seconds()); left <= sigma {
		c.within1++
		c.within2++
	} else if left <= 2*sigma {
		c.within2++
	}
}

// finish is what it all came to.
func (c *score) finish() *Result {
	r, w := c.r, c.w
	r.To1ms, r.To100us = c.reach1.time(), c.reach100.time()
	r.Steps, r.Steered, r.Incidents = w.steps, w.steered, w.incidents
	if w.halted != nil {
		r.Halt, r.HaltAt = w.halted.Reason, w.clock.t
	}
	if n := c.gauge.result(r); n > 0 {
		slices.Sort(c.slack)
		r.Slack = stat.Quantile(0.5, stat.Empirical, c.slack, nil)
		r.Sigma1, r.Sigma2 = float64(c.within1)/n, float64(c.within2)/n
	}
	for _, v := range w.servers {
		r.Polls += float64(v.polls) / float64(len(w.servers)) * 3600 / (w.scenario.Duration - w.scenario.StatsFrom)
	}
	return r
}

// gauge gathers the errors of the statistics window.
type gauge struct {
	errors []float64 // absolute
	inside int       // within the published error
}

func (g *gauge) take(e, bound float64) {
	g.errors = append(g.errors, math.Abs(e))
	if math.Abs(e) <= bound {
		g.inside++
	}
}

// result fills in what the errors come to, and returns how many there are.
func (g *gauge) result(r *Result) float64 {
	n := float64(len(g.errors))
	if n == 0 {
		return 0
	}
	for _, e := range g.errors {
		r.Square += float64(e * e)
	}
	r.Square /= n
	slices.Sort(g.errors)
	r.Median = stat.Quantile(0.5, stat.Empirical, g.errors, nil)
	r.P99 = stat.Quantile(0.99, stat.Empirical, g.errors, nil)
	r.Max = g.errors[len(g.errors)-1]
	r.Bounded = float64(g.inside) / n
	return n
}

// plot adds a moment to the curve.
func (r *Result) plot(t, e, bound, stretch float64) {
	if n := len(r.Curve); n > 0 && t < r.Curve[n-1].T+stretch {
		p := &r.Curve[n-1]
		p.Low, p.High, p.Bound = min(p.Low, e), max(p.High, e), bound
		return
	}
	r.Curve = append(r.Curve, Point{t, e, e, bound})
}

// bound is the published error of the clock now: root distance.
func (w *world) bound() float64 {
	v := &w.snapshot
	if v.Stratum == 0 || v.Stratum >= proto.MaxStratum {
		return math.Inf(1)
	}
	age := w.clock.mono().Sub(v.Mono).Seconds()
	return v.RootDelay.Seconds()/2 + v.RootDispersion.Seconds() + float64(v.DispersionRate*age)
}

// reacher finds the first second from which an error stays small.
type reacher struct {
	limit    float64
	since    float64
	inside   bool
	finished bool
}

func (r *reacher) see(t, e float64) {
	switch {
	case r.finished:
	case math.Abs(e) >= r.limit:
		r.inside = false
	case !r.inside:
		r.inside, r.since = true, t
	case t-r.since >= settled:
		r.finished = true
	}
}

func (r *reacher) time() float64 {
	if !r.finished {
		return math.Inf(1)
	}
	return r.since
}
