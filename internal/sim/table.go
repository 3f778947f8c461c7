package sim

import (
	"fmt"
	"math"
	"strings"
)

// micro turns seconds into microseconds.
const micro = 1e6

// Header is the line above those of Line.
func Header() string {
	return fmt.Sprintf("%-22s %9s %7s %9s %7s %9s %7s %8s %9s %9s %7s %5s %5s %6s %5s %5s %5s %5s  %s",
		"scenario", "rms µs", "± se", "median µs", "± se", "p99 µs", "± se", "polls/h", "1ms s", "100µs s", "within%", "1σ%", "2σ%", "slack",
		"×chr", "×c99", "×opt", "×can", "worst seed")
}

// Line is the summary as a line of a table: errors in microseconds, polls an
// hour and server, the first second from which the error stays below 1 ms and
// 100 µs (and in how many runs it does, unless in all), the share of samples
// within the published error and its first and second standard deviation, the
// published error over delay/2 + 3σ, and ratios to the reference figures: of
// RMS and 99th percentile to chrony's, of RMS to the optimum and to the
// candidate's.
func (s Summary) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %9.2f %7.2f %9.2f %7.2f %9.2f %7.2f %8.1f %9s %9s %7.2f %5.1f %5.1f %6.2f",
		s.Scenario.Name, s.RMS.Mean*micro, s.RMS.SE*micro, s.Median.Mean*micro, s.Median.SE*micro, s.P99.Mean*micro, s.P99.SE*micro,
		s.Polls.Mean, s.when(s.To1ms), s.when(s.To100us), s.Bounded*100, s.Sigma1*100, s.Sigma2*100, s.Slack)
	f := s.figures()
	fmt.Fprintf(&b, " %5s %5s %5s %5s  %d", ratio(s.RMS.Mean*micro, f.Chrony), ratio(s.P99.Mean*micro, f.ChronyP99),
		ratio(s.RMS.Mean*micro, f.Bound), ratio(s.RMS.Mean*micro, f.Candidate), s.WorstSeed)
	if s.Halts > 0 {
		fmt.Fprintf(&b, "  (%d of %d runs halted)", s.Halts, s.Runs)
	}
	return b.String()
}

// MarkdownHeader begins a table of MarkdownLines.
const MarkdownHeader = `| scenario | RMS µs | median µs | p99 µs | polls/h | to 1 ms, s | to 100 µs, s | within bound | 1σ | 2σ | chrony RMS (p99) µs | polls/h | optimum µs | RMS/chrony | p99/chrony | RMS/optimum | RMS/candidate |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

// MarkdownLine is the summary as a line of a Markdown table.
func (s Summary) MarkdownLine() string {
	f := s.figures()
	rms, p99 := s.RMS.Mean*micro, s.P99.Mean*micro
	chrony := figure(f.Chrony)
	if f.ChronyP99 != 0 {
		chrony += " (" + figure(f.ChronyP99) + ")"
	}
	cells := []string{
		"`" + s.Scenario.Name + "`",
		fmt.Sprintf("%s ±%s", figure(rms), figure(s.RMS.SE*micro)),
		fmt.Sprintf("%s ±%s", figure(s.Median.Mean*micro), figure(s.Median.SE*micro)),
		fmt.Sprintf("%s ±%s", figure(p99), figure(s.P99.SE*micro)),
		fmt.Sprintf("%.1f", s.Polls.Mean), s.when(s.To1ms), s.when(s.To100us),
		fmt.Sprintf("%.2f %%", s.Bounded*100), fmt.Sprintf("%.0f %%", s.Sigma1*100), fmt.Sprintf("%.0f %%", s.Sigma2*100),
		chrony, figure(f.Polls), figure(f.Bound),
		ratio(rms, f.Chrony), ratio(p99, f.ChronyP99), ratio(rms, f.Bound), ratio(rms, f.Candidate),
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func (s Summary) figures() Figures {
	if s.Scenario.Reference == nil {
		return Figures{}
	}
	return *s.Scenario.Reference
}

// when prints a time, and how many runs got there unless all did.
func (s Summary) when(r Reach) string {
	t := "never"
	if !math.IsInf(r.Median, 1) {
		t = fmt.Sprintf("%.0f", r.Median)
	}
	if r.Runs < s.Runs {
		t += fmt.Sprintf("(%d/%d)", r.Runs, s.Runs)
	}
	return t
}

// figure prints a number with three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "-"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func ratio(v, of float64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v/of)
}
