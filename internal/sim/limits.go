package sim

import (
	"fmt"
	"math"
	"strings"
)

// Check compares a run with the limits of its scenario and says what is
// wrong; nothing when all is well.
func (r *Result) Check() []string {
	var bad []string
	if r.Peer != nil {
		for _, b := range r.Peer.Check() {
			bad = append(bad, "peer: "+b)
		}
	}
	l := r.Scenario.Limits
	if l == nil {
		return bad
	}
	most := func(name string, v, limit float64) {
		if limit != 0 && !(v <= limit) {
			bad = append(bad, fmt.Sprintf("%s is %.6g, more than %.6g", name, v, limit))
		}
	}
	const us = 1e6
	most("RMS error (µs)", math.Sqrt(r.Square)*us, l.RMS)
	most("99th percentile (µs)", r.P99*us, l.P99)
	most("largest error (µs)", r.Max*us, l.Max)
	most("time to 1 ms (s)", r.To1ms, l.Within1ms)
	most("polls an hour", r.Polls, l.Polls)
	if l.Steps != nil && r.Steps > *l.Steps {
		bad = append(bad, fmt.Sprintf("%d steps, more than %d", r.Steps, *l.Steps))
	}
	if r.Bounded < l.Bounded {
		bad = append(bad, fmt.Sprintf("the published error covers the true one in %.4f of the samples, less than %.4f", r.Bounded, l.Bounded))
	}
	if !strings.Contains(r.Halt, l.Halts) || (l.Halts == "" && r.Halt != "") {
		bad = append(bad, fmt.Sprintf("halt %q, want %q", r.Halt, l.Halts))
	}
	if l.Holds && r.Steered {
		bad = append(bad, "the clock was corrected")
	}
	if l.Says != "" && !r.reported(l.Says) {
		bad = append(bad, fmt.Sprintf("no incident %q", l.Says))
	}
	return bad
}

// reported says whether there was an incident with a code, or with a code and
// a reason.
func (r *Result) reported(code string) bool {
	for _, i := range r.Incidents {
		if i.Code == code || i.Code+" "+string(i.Reason) == code {
			return true
		}
	}
	return false
}
