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
	Slack     float64 // median of the published error over the true one's bound
	Sigma1    float64 // share within one published standard deviation
	Sigma2    float64
	Steps     int
	Steered   bool
	Halt      string
	HaltAt    float64
	Incidents []Incident
	Final     float64 // error at the end
}

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
	r := &Result{Scenario: s, Seed: seed}
	var errors []float64
	reach1, reach100 := reacher{limit: 1e-3}, reacher{limit: 100e-6}
	var inside, within1, within2 int
	w.run(func() {
		t, e := w.clock.t, w.clock.err
		reach1.see(t, e)
		reach100.see(t, e)
		r.Final = e
		if t < s.StatsFrom {
			return
		}
		errors = append(errors, math.Abs(e))
		bound := w.bound()
		if math.Abs(e) <= bound {
			inside++
		}
		status := w.engine.Status(w.clock.now())
		sigma := status.Sigma.Seconds()
		if left := math.Abs(e + status.Offset.Seconds()); left <= sigma {
			within1++
			within2++
		} else if left <= 2*sigma {
			within2++
		}
	})
	r.To1ms, r.To100us = reach1.time(), reach100.time()
	r.Steps, r.Steered, r.Incidents = w.steps, w.steered, w.incidents
	if w.halted != nil {
		r.Halt, r.HaltAt = w.halted.Reason, w.clock.t
	}
	if n := float64(len(errors)); n > 0 {
		for _, e := range errors {
			r.Square += float64(e * e)
		}
		r.Square /= n
		slices.Sort(errors)
		r.Median = stat.Quantile(0.5, stat.Empirical, errors, nil)
		r.P99 = stat.Quantile(0.99, stat.Empirical, errors, nil)
		r.Max = errors[len(errors)-1]
		r.Bounded, r.Sigma1, r.Sigma2 = float64(inside)/n, float64(within1)/n, float64(within2)/n
	}
	for _, v := range w.servers {
		r.Polls += float64(v.polls) / float64(len(w.servers)) * 3600 / (s.Duration - s.StatsFrom)
	}
	return r, nil
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

// Summary is a scenario over several seeds, as peers' figures are given: the
// squared error is pooled, median and 99th percentile are averaged.
type Summary struct {
	Scenario  *Scenario
	Runs      int
	RMS, SE   float64 // and its standard error over seeds
	Median    float64
	P99       float64
	P99SE     float64
	Max       float64
	Polls     float64
	To1ms     float64 // median over seeds
	To100us   float64
	Bounded   float64 // smallest share
	Sigma1    float64 // mean
	Sigma2    float64
	WorstSeed uint64 // by RMS
	Steps     int    // most
}

// Summarise pools runs of one scenario.
func Summarise(runs []*Result) Summary {
	s := Summary{Scenario: runs[0].Scenario, Runs: len(runs), Bounded: 1}
	n := float64(len(runs))
	var squares, p99, to1, to100 []float64
	worst := -1.0
	for _, r := range runs {
		squares = append(squares, r.Square)
		p99 = append(p99, r.P99)
		to1, to100 = append(to1, r.To1ms), append(to100, r.To100us)
		s.Median += r.Median / n
		s.Polls += r.Polls / n
		s.Sigma1 += r.Sigma1 / n
		s.Sigma2 += r.Sigma2 / n
		s.Max, s.Bounded, s.Steps = max(s.Max, r.Max), min(s.Bounded, r.Bounded), max(s.Steps, r.Steps)
		if r.Square > worst {
			worst, s.WorstSeed = r.Square, r.Seed
		}
	}
	mean, sd := stat.MeanStdDev(squares, nil)
	s.RMS = math.Sqrt(mean)
	s.P99 = stat.Mean(p99, nil)
	if len(runs) > 1 {
		s.SE = sd / math.Sqrt(n) / (2 * s.RMS)
		_, d := stat.MeanStdDev(p99, nil)
		s.P99SE = d / math.Sqrt(n)
	}
	slices.Sort(to1)
	slices.Sort(to100)
	s.To1ms, s.To100us = to1[len(to1)/2], to100[len(to100)/2]
	return s
}
