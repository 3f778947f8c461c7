package sim

import (
	"fmt"
	"math"
	"strings"
)

// Header is the line above those of Line.
func Header() string {
	return fmt.Sprintf("%-22s %9s %7s %9s %9s %9s %8s %7s %7s %7s %6s %6s %5s %5s %5s %5s  %s",
		"scenario", "rms µs", "± se", "median", "p99", "max", "polls/h", "1ms s", "100µs s", "bound%", "1σ%", "2σ%", "×chr", "×c99", "×opt", "×can", "worst seed")
}

// Line is the summary as a line of a table; errors in microseconds.
func (s Summary) Line() string {
	var b strings.Builder
	const us = 1e6
	fmt.Fprintf(&b, "%-22s %9.2f %7.2f %9.2f %9.2f %9.2f %8.1f %7s %7s %7.2f %6.1f %6.1f",
		s.Scenario.Name, s.RMS*us, s.SE*us, s.Median*us, s.P99*us, s.Max*us, s.Polls, when(s.To1ms), when(s.To100us), s.Bounded*100, s.Sigma1*100, s.Sigma2*100)
	f := s.Scenario.Reference
	if f == nil {
		f = &Figures{}
	}
	fmt.Fprintf(&b, " %5s %5s %5s %5s  %d", ratio(s.RMS*us, f.Chrony), ratio(s.P99*us, f.ChronyP99), ratio(s.RMS*us, f.Bound), ratio(s.RMS*us, f.Candidate), s.WorstSeed)
	return b.String()
}

func when(t float64) string {
	if math.IsInf(t, 1) {
		return "never"
	}
	return fmt.Sprintf("%.0f", t)
}

func ratio(v, of float64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v/of)
}
