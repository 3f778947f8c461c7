package sim

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Figure is a mean over seeds and its standard error.
type Figure struct{ Mean, SE float64 }

// Reach is when an error became small: the median over seeds, and how many of
// them ever got there.
type Reach struct {
	Median float64 // s; +Inf when most never do
	Runs   int
}

// Summary is a scenario over several seeds, as peers' figures are given: the
// squared error is pooled, median and 99th percentile are averaged. Errors are
// in seconds.
type Summary struct {
	Scenario  *Scenario
	Runs      int
	RMS       Figure
	Median    Figure // of the absolute error
	P99       Figure
	Max       float64
	Polls     Figure // an hour and server
	To1ms     Reach
	To100us   Reach
	Bounded   float64 // smallest share
	Slack     float64 // mean
	Sigma1    float64 // mean
	Sigma2    float64
	Steps     int // most
	WorstSeed uint64
	Halts     int     // runs that halted
	Typical   *Result // the run with the median RMS
}

// Summarise pools runs of one scenario.
func Summarise(runs []*Result) Summary {
	s := Summary{Scenario: runs[0].Scenario, Runs: len(runs), Bounded: 1}
	figure := func(f func(*Result) float64) Figure {
		x := make([]float64, len(runs))
		for i, r := range runs {
			x[i] = f(r)
		}
		if len(x) == 1 {
			return Figure{Mean: x[0]}
		}
		mean, sd := stat.MeanStdDev(x, nil)
		return Figure{mean, sd / math.Sqrt(float64(len(x)))}
	}
	square := figure(func(r *Result) float64 { return r.Square })
	s.RMS.Mean = math.Sqrt(square.Mean)
	if s.RMS.Mean > 0 {
		s.RMS.SE = square.SE / (2 * s.RMS.Mean)
	}
	s.Median = figure(func(r *Result) float64 { return r.Median })
	s.P99 = figure(func(r *Result) float64 { return r.P99 })
	s.Polls = figure(func(r *Result) float64 { return r.Polls })
	s.Slack = figure(func(r *Result) float64 { return r.Slack }).Mean
	s.Sigma1 = figure(func(r *Result) float64 { return r.Sigma1 }).Mean
	s.Sigma2 = figure(func(r *Result) float64 { return r.Sigma2 }).Mean
	s.To1ms = reached(runs, func(r *Result) float64 { return r.To1ms })
	s.To100us = reached(runs, func(r *Result) float64 { return r.To100us })
	for _, r := range runs {
		s.Max, s.Bounded, s.Steps = max(s.Max, r.Max), min(s.Bounded, r.Bounded), max(s.Steps, r.Steps)
		if r.Halt != "" {
			s.Halts++
		}
	}
	order := slices.Clone(runs)
	slices.SortStableFunc(order, func(a, b *Result) int {
		switch {
		case a.Square < b.Square:
			return -1
		case a.Square > b.Square:
			return 1
		default:
			return 0
		}
	})
	s.WorstSeed, s.Typical = order[len(order)-1].Seed, order[len(order)/2]
	return s
}

// reached is the median of the times, never counting as later than all.
func reached(runs []*Result, f func(*Result) float64) Reach {
	var r Reach
	x := make([]float64, len(runs))
	for i, run := range runs {
		x[i] = f(run)
		if !math.IsInf(x[i], 1) {
			r.Runs++
		}
	}
	slices.Sort(x)
	r.Median = x[len(x)/2]
	if n := len(x); n%2 == 0 {
		r.Median = (x[n/2-1] + x[n/2]) / 2
	}
	return r
}
