package main

import (
	"math"
	"slices"
)

// sample is a time error at a time, both in seconds.
type sample struct{ t, x float64 }

// deviation is an Allan deviation over an interval.
type deviation struct{ tau, sigma float64 }

// allan computes the overlapping Allan deviation of time errors x, at octaves
// of the interval between them:
//
//	σ²(τ) = ⟨(x(t+2τ) − 2x(t+τ) + x(t))²⟩ / 2τ²
//
// (W. J. Riley, NIST Special Publication 1065, section 5.2.4). Samples that
// are not equally spaced are interpolated at the median of their intervals; a
// gap of more than eight of those ends a run, and no difference crosses it.
func allan(samples []sample) []deviation {
	if len(samples) < 3 {
		return nil
	}
	tau0 := interval(samples)
	if tau0 <= 0 {
		return nil
	}
	runs := resample(samples, tau0)
	var all []deviation
	for m := 1; ; m *= 2 {
		sum, n := 0.0, 0
		for _, x := range runs {
			for i := 0; i+2*m < len(x); i++ {
				d := x[i+2*m] - 2*x[i+m] + x[i]
				sum += d * d
				n++
			}
		}
		if n < 3 {
			return all // too few to mean anything
		}
		tau := float64(m) * tau0
		all = append(all, deviation{tau, math.Sqrt(sum/float64(n)/2) / tau})
	}
}

// interval is the median time between samples.
func interval(samples []sample) float64 {
	gaps := make([]float64, len(samples)-1)
	for i := range gaps {
		gaps[i] = samples[i+1].t - samples[i].t
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// longestGap is how many intervals are interpolated over.
const longestGap = 8

// resample interpolates between samples at equal distances.
func resample(samples []sample, tau0 float64) [][]float64 {
	var runs [][]float64
	for first := 0; first < len(samples); {
		last := first
		for last+1 < len(samples) && samples[last+1].t-samples[last].t <= longestGap*tau0 {
			last++
		}
		var x []float64
		j := first
		for i := 0; ; i++ {
			t := samples[first].t + float64(i)*tau0
			for j < last && samples[j+1].t < t {
				j++
			}
			if j == last {
				if t <= samples[last].t {
					x = append(x, samples[last].x)
				}
				break
			}
			a, b := samples[j], samples[j+1]
			share := 0.0
			if b.t > a.t {
				share = (t - a.t) / (b.t - a.t)
			}
			x = append(x, a.x+share*(b.x-a.x))
		}
		runs = append(runs, x)
		first = last + 1
	}
	return runs
}
