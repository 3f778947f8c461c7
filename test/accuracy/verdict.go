package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ntpd-go/ntpd-go/internal/sim"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// verdicts are a line for each comparison that the scenarios of a file allow.
func verdicts(file []sim.Summary) []string {
	var lines []string
	for _, line := range []string{withCandidate(file), withOwnPolls(file), withSamePolls(file)} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// lastLine is what a run ends with, whatever there was to compare.
func lastLine(all []sim.Summary) string {
	return cmp.Or(withSamePolls(all), "accuracy: median - worst - bound -")
}

// withSamePolls is the median and the worst ratio of our RMS error to chrony's
// where both poll alike, and the worst to the optimum.
func withSamePolls(all []sim.Summary) string {
	var chrony []float64
	bound := math.NaN()
	for _, s := range all {
		f := s.Scenario.Reference
		if f == nil || !strings.HasPrefix(s.Scenario.Name, "fix") {
			continue
		}
		rms := s.RMS.Mean * 1e6
		if f.Chrony > 0 {
			chrony = append(chrony, rms/f.Chrony)
		}
		if r := rms / f.Bound; f.Bound > 0 && !(r <= bound) {
			bound = r
		}
	}
	if len(chrony) == 0 {
		return ""
	}
	return fmt.Sprintf("accuracy: median %.2f worst %.2f bound %.2f", lab.Median(chrony), slices.Max(chrony), bound)
}

// withOwnPolls is the same where each chooses when to poll, and the most packets
// of ours for one of chrony's.
func withOwnPolls(all []sim.Summary) string {
	var rms, packets []float64
	for _, s := range all {
		f := s.Scenario.Reference
		if f == nil || f.Chrony <= 0 || f.Polls <= 0 || strings.HasPrefix(s.Scenario.Name, "fix") {
			continue
		}
		rms = append(rms, s.RMS.Mean*1e6/f.Chrony)
		packets = append(packets, s.Polls.Mean/f.Polls)
	}
	if len(rms) == 0 {
		return ""
	}
	return fmt.Sprintf("own polls: median %.2f worst %.2f, packets at most %.2f of chrony's", lab.Median(rms), slices.Max(rms), slices.Max(packets))
}

// withCandidate is how the RMS errors compare with those of the candidate: their
// geometric mean, and the row that fares worst.
func withCandidate(all []sim.Summary) string {
	var logs, worst float64
	var n int
	var name string
	for _, s := range all {
		f := s.Scenario.Reference
		if f == nil || f.Candidate <= 0 {
			continue
		}
		r := s.RMS.Mean * 1e6 / f.Candidate
		logs, n = logs+math.Log(r), n+1
		if r > worst {
			worst, name = r, s.Scenario.Name
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("candidate: geometric mean %.2f of %d rows, worst %.2f (%s)", math.Exp(logs/float64(n)), n, worst, name)
}
