package probe

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Schema is the version of the JSON of reports. Keys may be added; what there
// is keeps its meaning.
const Schema = 1

// QueryReport is what a query comes to.
type QueryReport struct {
	Schema  int         `json:"schema"`
	Status  Severity    `json:"status"`
	Servers []Row       `json:"servers"`
	Compare *Comparison `json:"compare,omitempty"`
}

// Summarise makes a report of rows, and compares them if that is wanted.
func Summarise(rows []Row, compare bool) *QueryReport {
	r := &QueryReport{Schema: Schema, Servers: rows}
	for i := range rows {
		r.Status = r.Status.Worse(rows[i].Severity)
	}
	if compare {
		c := Compare(rows)
		r.Compare = &c
		if len(c.Disagree) > 0 {
			r.Status = r.Status.Worse(Warning)
		}
	}
	return r
}

// Write prints the report for people.
func (r *QueryReport) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tADDRESS\tSTRATUM\tREFID\tOFFSET\t±\tDELAY\tANSWERS\tNTS")
	var troubles []string
	for i := range r.Servers {
		s := &r.Servers[i]
		address, stratum, refid, offset, bound, delay := "-", "-", "-", "-", "-", "-"
		if s.Address.IsValid() {
			address = s.Address.String()
		}
		if s.Best != nil && s.Best.Version != 0 {
			stratum, refid = fmt.Sprint(s.Best.Stratum), either(s.Best.RefID, "-")
		}
		if s.Bound != nil {
			offset, bound, delay = Signed(*s.Best.Offset), Magnitude(*s.Bound), Magnitude(*s.Best.Delay)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%s\n", s.Host, address, stratum, refid, offset, bound, delay, s.Received, s.Sent, s.security())
		if s.Text != "" {
			troubles = append(troubles, fmt.Sprintf("%s: %s", s.Host, s.Text))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(troubles) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(troubles, "\n"))
	}
	if r.Compare != nil {
		fmt.Fprintf(w, "\n%s\n", r.Compare)
	}
	return nil
}

func (row *Row) security() string {
	switch {
	case !row.NTS:
		return "-"
	case row.Best != nil && row.Best.Authenticated:
		return row.AEAD
	default:
		return "no"
	}
}

// String says it in one sentence.
func (c *Comparison) String() string {
	switch {
	case c.Servers == 0:
		return "No server gave a time to compare."
	case c.Servers == 1:
		return "One server gave a time: there is nothing to compare it with."
	case len(c.Disagree) == 0:
		return fmt.Sprintf("All %d servers agree: offset %s, spread %s.", c.Servers, Signed(*c.Offset), Magnitude(*c.Spread))
	default:
		return fmt.Sprintf("%d of %d servers agree on an offset of %s; not with them: %s.", c.Agreeing, c.Servers, Signed(*c.Offset), strings.Join(c.Disagree, ", "))
	}
}

// CheckReport is what checks of NTS come to.
type CheckReport struct {
	Schema  int      `json:"schema"`
	Status  Severity `json:"status"`
	Servers []*Check `json:"servers"`
}

// Checked makes a report of checks.
func Checked(checks []*Check) *CheckReport {
	r := &CheckReport{Schema: Schema, Servers: checks}
	for _, c := range checks {
		r.Status = r.Status.Worse(c.Severity)
	}
	return r
}

// Write prints the report for people: first what is wrong, then what was seen.
func (r *CheckReport) Write(w io.Writer) error {
	for i, c := range r.Servers {
		if i > 0 {
			fmt.Fprintln(w)
		}
		c.write(w)
	}
	return nil
}

func (c *Check) write(w io.Writer) {
	fmt.Fprintf(w, "%s: %s: %s\n", c.Host, strings.ToUpper(c.Severity.String()), c.Sentence)
	if c.Fix != "" {
		fmt.Fprintf(w, "  fix           %s\n", c.Fix)
	}
	for _, t := range c.TCP {
		fmt.Fprintf(w, "  connection    %v: %s\n", t.Address, either(t.Error, "opened in "+Magnitude(t.Seconds)))
	}
	if s := c.Shown; s != nil {
		fmt.Fprintf(w, "  handshake     %s, application protocol %s\n", s.TLS, either(s.ALPN, "none"))
		for _, cert := range s.Chain {
			fmt.Fprintf(w, "  certificate   %s, valid %s to %s, %s, issued by %s\n", either(strings.Join(cert.Names, " "), cert.Subject),
				cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly), cert.Key, cert.Issuer)
		}
	}
	if x := c.Exchange; x != nil {
		fmt.Fprintf(w, "  key exchange  %s in %s, %d cookies of %d octets, NTP server %s port %d\n",
			x.Algorithm, Magnitude(x.Seconds), x.Cookies, x.CookieLen, x.Server, x.Port)
	}
	for _, a := range c.AEAD {
		word := "supported"
		if !a.Supported {
			word = either(a.Error, "not supported")
		}
		fmt.Fprintf(w, "  algorithm     %s offered alone: %s\n", a.Algorithm, word)
	}
	c.Plain.write(w, "NTP")
	c.Padded.write(w, "NTP padded")
	c.Secure.write(w, "NTP with NTS")
	for _, l := range c.Lengths {
		fmt.Fprintf(w, "  length        %d octets: %v\n", l.Octets, l.Verdict)
	}
}

func (a *Answer) write(w io.Writer, what string) {
	if a == nil {
		return
	}
	fmt.Fprintf(w, "  %-13s %v, %d octets: %s", what, a.To, a.Octets, a.Sentence())
	if a.Offset != nil {
		fmt.Fprintf(w, ", stratum %d, offset %s ± %s, delay %s", a.Stratum, Signed(*a.Offset), Magnitude(a.Bound()), Magnitude(*a.Delay))
	}
	fmt.Fprintln(w)
}

func either(s, alternative string) string {
	if s == "" {
		return alternative
	}
	return s
}

// Signed prints seconds with a sign in the unit that suits them.
func Signed(v float64) string {
	if v < 0 {
		return "-" + Magnitude(-v)
	}
	return "+" + Magnitude(v)
}

// Magnitude prints seconds ≥ 0 in the unit that suits them.
func Magnitude(v float64) string {
	switch {
	case v >= 48*3600:
		return fmt.Sprintf("%.1f days", v/86400)
	case v >= 300:
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
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
