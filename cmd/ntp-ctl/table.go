package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// writeTable prints a headline and one row for each configured source.
func writeTable(w io.Writer, s *observe.State) error {
	if s.Own == nil {
		return observe.WritePlain(w, s) // another daemon: it has no reasons to show
	}
	fmt.Fprintf(w, "%s\n", headline(s))
	if len(s.Own.Sources) > 0 {
		fmt.Fprintln(w)
		if err := sourceTable(w, s.Own.Sources); err != nil {
			return err
		}
	}
	if len(s.Servers) > 0 {
		fmt.Fprintln(w)
		return serverTable(w, s.Servers)
	}
	return nil
}

// headline says in one sentence how the clock is.
func headline(s *observe.State) string {
	own := s.Own
	switch {
	case own.Synchronised && own.Offset != nil && own.Sigma != nil:
		return fmt.Sprintf("Synchronised: %s source%s, stratum %d, offset %s ± %s, frequency %+.3f ppm.",
			countOf(own.Selected, len(own.Sources)), plural(own.Selected), s.System.Stratum,
			signed(*own.Offset), magnitude(*own.Sigma), own.Frequency*1e6)
	case own.Synchronised:
		return fmt.Sprintf("Synchronised: stratum %d.", s.System.Stratum)
	case len(own.Sources) == 0 && s.System.Stratum < 16:
		return fmt.Sprintf("Serving the local clock at stratum %d: no sources are configured.", s.System.Stratum)
	case len(own.Sources) == 0:
		return "Not synchronised: no sources are configured."
	case own.Text != "":
		return "Not synchronised: " + own.Text + "."
	default:
		return "Not synchronised yet."
	}
}

func countOf(n, total int) string {
	if n == total {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d of %d", n, total)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func sourceTable(w io.Writer, rows []observe.Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, " \tSOURCE\tADDRESS\tSTATE\tREACH\tPOLL\tOFFSET\t±\tDELAY\tCOOKIES")
	var reasons []string
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", marker(r.Condition), r.Name, or(r.Address, "-"), state(r),
			reach(r), poll(r.Poll), optional(r.Offset, signed), optional(r.Sigma, magnitude), optional(r.Delay, magnitude), cookies(r))
		if r.Text != "" {
			reasons = append(reasons, fmt.Sprintf("%s: %s", r.Name, r.Text))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(reasons) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(reasons, "\n"))
	}
	return nil
}

func serverTable(w io.Writer, servers []observe.Server) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tRECEIVED\tANSWERED\tNTS\tDENIED\tLIMITED\tIGNORED\tNTS NAK")
	for i := range servers {
		n := &servers[i].Stats
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", servers[i].Address, n.ReceivedPackets, n.AcceptedPackets,
			n.NTSAcceptedPackets, n.DeniedPackets, n.RateLimitedPackets, n.IgnoredPackets, n.NTSNakPackets)
	}
	return t.Flush()
}

// marker is the first column, as other daemons' tools print it.
func marker(condition string) string {
	switch condition {
	case "selected":
		return "*"
	case "falseticker":
		return "x"
	case "unreachable", "waiting", "demobilised":
		return "?"
	default:
		return " "
	}
}

func state(r *observe.Row) string {
	if r.RetryIn == nil {
		return r.Condition
	}
	d := time.Duration(*r.RetryIn * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%s, retry in %v", r.Condition, d)
}

func reach(r *observe.Row) string {
	if r.ID == 0 {
		return "-"
	}
	return fmt.Sprintf("%03o", r.Reach)
}

func poll(p *int8) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f s", math.Ldexp(1, int(*p)))
}

func cookies(r *observe.Row) string {
	switch {
	case !r.NTS:
		return "-"
	case r.Cookies == nil:
		return "none"
	default:
		return fmt.Sprintf("%d/8", *r.Cookies)
	}
}

func or(s, alternative string) string {
	if s == "" {
		return alternative
	}
	return s
}

func optional(v *float64, format func(float64) string) string {
	if v == nil {
		return "-"
	}
	return format(*v)
}

// signed prints seconds with a sign in the unit that suits them.
func signed(v float64) string {
	if v < 0 {
		return "-" + magnitude(-v)
	}
	return "+" + magnitude(v)
}

// magnitude prints seconds ≥ 0 in the unit that suits them.
func magnitude(v float64) string {
	switch {
	case v >= 3600:
		return "over an hour"
	case v >= 1:
		return fmt.Sprintf("%.3f s", v)
	case v >= 1e-3:
		return fmt.Sprintf("%.3f ms", v*1e3)
	case v >= 1e-6:
		return fmt.Sprintf("%.1f µs", v*1e6)
	default:
		return fmt.Sprintf("%.0f ns", v*1e9)
	}
}
