package main

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// writeTable prints a headline, the clock, a row and a reason for each source
// and a row for each server.
func writeTable(w io.Writer, sc screen, r *observe.Report) error {
	b := &strings.Builder{}
	head := strings.Split(sc.text(r.Headline), "\n")
	for i, l := range wrap(head[0], sc.width) {
		attribute := headColour(r.Clock.State)
		if i == 0 {
			l = sc.paint(bold, sc.paint(attribute, l))
		}
		fmt.Fprintln(b, l)
	}
	fmt.Fprintln(b)
	sc.paragraph(b, "Clock    ", clockLine(r))
	if len(r.Sources) > 0 {
		sc.paragraph(b, "Sources  ", sourcesLine(r))
		fmt.Fprintln(b)
		sc.sources(b, r.Sources)
	}
	if len(r.Servers) > 0 {
		fmt.Fprintln(b)
		sc.servers(b, r.Servers)
		sc.paragraph(b, "", clientsLine(r))
	}
	for _, k := range r.KeyHosts {
		if k.NotAfter != nil && r.Time != nil {
			fmt.Fprintln(b)
			text := k.Address + ": certificate " + expiry(k.NotAfter.Sub(*r.Time).Seconds())
			if k.Restarts != nil && *k.Restarts > 0 {
				text += fmt.Sprintf("; its process had to be started again %d times", *k.Restarts)
			}
			sc.paragraph(b, "NTS-KE   ", text)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func headColour(state string) string {
	switch state {
	case observe.ClockSynchronised:
		return green
	case observe.ClockUnsynchronised, observe.ClockNoSources:
		return red
	default:
		return yellow
	}
}

func expiry(left float64) string {
	if left < 0 {
		return "expired " + observe.Rough(left) + " ago"
	}
	return "valid for " + observe.Rough(left)
}

// joined puts facts into a line that breaks only between them.
func joined(facts []string) string {
	for i := range facts {
		facts[i] = glue(facts[i])
	}
	return strings.Join(facts, glued+"· ")
}

// clockLine gives the figures behind the headline.
func clockLine(r *observe.Report) string {
	c := &r.Clock
	var facts []string
	if c.Offset != nil {
		fact := fastOrSlow(*c.Offset)
		if c.Uncertainty != nil {
			fact += " ± " + observe.Magnitude(*c.Uncertainty)
		}
		facts = append(facts, fact)
	}
	if c.Frequency != nil && c.Offset != nil {
		facts = append(facts, fmt.Sprintf("frequency %+.3f ppm", *c.Frequency*1e6))
	}
	stratum := fmt.Sprintf("stratum %d", c.Stratum)
	if c.ReferenceID != nil && c.Stratum < 16 {
		stratum += " from " + *c.ReferenceID
	}
	facts = append(facts, stratum)
	if c.Leap == "insert" || c.Leap == "delete" {
		facts = append(facts, "leap second: "+c.Leap)
	}
	if c.Steps != nil && *c.Steps > 0 {
		steps := "1 step"
		if *c.Steps > 1 {
			steps = fmt.Sprintf("%d steps", *c.Steps)
		}
		facts = append(facts, steps)
	}
	if c.Kind != nil && *c.Kind == "software" {
		facts = append(facts, "software clock")
	}
	facts = append(facts, "up "+observe.Rough(r.Daemon.Uptime))
	return joined(facts)
}

// fastOrSlow says how far off the clock is; offset is true time minus clock.
func fastOrSlow(offset float64) string {
	if offset > 0 {
		return observe.Magnitude(offset) + " slow"
	}
	return observe.Magnitude(-offset) + " fast"
}

func sourcesLine(r *observe.Report) string {
	used, secure := 0, 0
	youngest := math.Inf(1)
	for i := range r.Sources {
		s := &r.Sources[i]
		if s.Used {
			used++
		}
		if s.NTS != nil && s.ID != nil {
			secure++
		}
		if s.Age != nil {
			youngest = min(youngest, *s.Age)
		}
	}
	facts := []string{fmt.Sprintf("%d of %d used", used, len(r.Sources))}
	if r.Clock.Selected == nil {
		facts[0] = fmt.Sprintf("%d", len(r.Sources))
	}
	if r.Clock.Needed != nil {
		facts = append(facts, fmt.Sprintf("%d must agree", *r.Clock.Needed))
	}
	if secure > 0 {
		facts = append(facts, fmt.Sprintf("NTS on %d", secure))
	}
	if !math.IsInf(youngest, 1) {
		facts = append(facts, "last answer "+observe.Rough(youngest)+" ago")
	}
	return joined(facts)
}

func (sc screen) sources(w io.Writer, all []observe.SourceReport) {
	mark := &column{}
	state := &column{title: "STATE"}
	name := &column{title: "SOURCE", least: 14}
	addr := &column{title: "ADDRESS", drop: 5, least: 15}
	stratum := &column{title: "ST", drop: 6, right: true}
	reached := &column{title: "REACH", drop: 4}
	poll := &column{title: "POLL", drop: 2, right: true}
	offset := &column{title: "OFFSET", right: true}
	sigma := &column{title: "±", drop: 8, right: true}
	delay := &column{title: "DELAY", drop: 3, right: true}
	last := &column{title: "LAST", drop: 1, right: true}
	cookies := &column{title: "NTS", drop: 7}
	for i := range all {
		s := &all[i]
		m, attribute := marker(s)
		mark.cells, mark.paint = append(mark.cells, m), append(mark.paint, attribute)
		state.cells, state.paint = append(state.cells, stateWord(s)), append(state.paint, attribute)
		name.cells = append(name.cells, bare(s.Name))
		addr.cells = append(addr.cells, or(s.Address, bare))
		stratum.cells = append(stratum.cells, or(s.Stratum, func(v uint8) string { return fmt.Sprint(v) }))
		reached.cells = append(reached.cells, reach(s))
		poll.cells = append(poll.cells, or(s.Poll, func(v float64) string { return fmt.Sprintf("%.0f s", v) }))
		offset.cells = append(offset.cells, or(s.Offset, observe.Signed))
		sigma.cells = append(sigma.cells, or(s.Uncertainty, observe.Magnitude))
		delay.cells = append(delay.cells, or(s.Delay, observe.Magnitude))
		last.cells = append(last.cells, or(s.Age, observe.Rough))
		cookies.cells = append(cookies.cells, or(s.NTS, func(n observe.NTSReport) string { return fmt.Sprintf("%d/8", n.Cookies) }))
	}
	if !sc.unicode {
		sigma.title = "ERROR"
	}
	sc.grid(w, []*column{mark, state, name, addr, stratum, reached, poll, offset, sigma, delay, last, cookies},
		func(i int) []string {
			if i > 0 && all[i].Name == all[i-1].Name && all[i].Why == all[i-1].Why {
				return nil // one sentence for all servers of a pool
			}
			return sc.reason(&all[i])
		})
	sc.legend(w, mark.cells)
}

// reason is what stands below the row of a source that is not used.
func (sc screen) reason(s *observe.SourceReport) []string {
	if s.Used || s.State == observe.StateAnswering {
		return nil
	}
	const first, next = "  └ ", "    "
	lines := wrap(sc.text(s.Why), sc.width-len(next))
	for i := range lines {
		indent := next
		if i == 0 {
			indent = sc.text(first)
		}
		lines[i] = sc.paint(dim, indent+lines[i])
	}
	return lines
}

// legend explains the markers that were used.
func (sc screen) legend(w io.Writer, used []string) {
	var words []string
	for _, m := range []struct{ mark, word string }{
		{"*", "reference"}, {"+", "used too"}, {"-", "waits for agreement"}, {"x", "disagrees"},
		{".", "in progress"}, {"?", "no use now"}, {"!", "needs attention"},
	} {
		if slices.Contains(used, m.mark) {
			words = append(words, glue(m.mark+" "+m.word))
		}
	}
	if len(words) == 0 {
		return
	}
	for _, l := range wrap(strings.Join(words, glued+glued+" "), sc.width) {
		fmt.Fprintln(w, sc.paint(dim, strings.TrimRight(l, " ")))
	}
}

// marker is the first column, as other daemons' tools print it, and its
// colour.
func marker(s *observe.SourceReport) (mark, attribute string) {
	switch engine.Condition(s.State) {
	case engine.Selected:
		return "*", green
	case observe.StateCombined:
		return "+", green
	case engine.Falseticker:
		return "x", red
	case engine.NoMajority:
		return "-", yellow
	case engine.Measuring, engine.Exchanging, engine.Resolving:
		return ".", yellow
	case observe.StateAnswering:
		return " ", ""
	case engine.Waiting, engine.Demobilised, engine.NotSupported:
		return "!", red
	default:
		return "?", yellow
	}
}

// stateWord is the state as people read it.
func stateWord(s *observe.SourceReport) string {
	switch engine.Condition(s.State) {
	case engine.Measuring:
		return "too few samples"
	case engine.NoMajority:
		return "no majority"
	case engine.Resolving:
		return "name look-up"
	case engine.Exchanging:
		return "key exchange"
	case engine.Demobilised:
		return "refused"
	case engine.NotSupported:
		return "not supported"
	default:
		return s.State
	}
}

// bare leaves the usual ports away.
func bare(address string) string {
	for _, port := range []string{":123", ":4460"} {
		if host, ok := strings.CutSuffix(address, port); ok && (strings.Count(host, ":") == 0 || strings.HasSuffix(host, "]")) {
			return strings.Trim(host, "[]")
		}
	}
	return address
}

// reach draws the last eight polls, the latest on the right.
func reach(s *observe.SourceReport) string {
	if s.Reach == nil {
		return "-"
	}
	b := &strings.Builder{}
	for i := 7; i >= 0; i-- {
		if bits.OnesCount8(*s.Reach&(1<<i)) > 0 {
			b.WriteString("●")
		} else {
			b.WriteString("·")
		}
	}
	return b.String()
}

func or[T any](v *T, format func(T) string) string {
	if v == nil {
		return "-"
	}
	return format(*v)
}

// clientsLine tells how many ask, where that is known.
func clientsLine(r *observe.Report) string {
	if r.Clients == nil || *r.Clients == 0 {
		return ""
	}
	if *r.Clients == 1 {
		return "1 client in the last hour"
	}
	return fmt.Sprintf("about %d clients in the last hour", *r.Clients)
}

func (sc screen) servers(w io.Writer, all []observe.ServerReport) {
	cols := []*column{{title: "SERVER", least: 12}}
	for _, title := range []string{"RECEIVED", "ANSWERED", "NTS", "DENIED", "LIMITED", "IGNORED", "NTS NAK", "UNSENT", "LOST"} {
		cols = append(cols, &column{title: title, right: true})
	}
	for i, c := range cols[3:] {
		c.drop = 7 - i
	}
	for i := range all {
		n := &all[i].Stats
		cols[0].cells = append(cols[0].cells, all[i].Address)
		for j, v := range []uint64{n.ReceivedPackets, n.AcceptedPackets, n.NTSAcceptedPackets, n.DeniedPackets, n.RateLimitedPackets, n.IgnoredPackets, n.NTSNakPackets, n.ResponseSendErrors} {
			cols[j+1].cells = append(cols[j+1].cells, fmt.Sprint(v))
		}
		lost := cols[len(cols)-1]
		lost.cells = append(lost.cells, or(all[i].Drops, func(n uint64) string { return fmt.Sprint(n) }))
		if all[i].Drops != nil && *all[i].Drops > 0 {
			lost.drop = len(cols) // the last one that goes
		}
	}
	sc.grid(w, cols, nil)
}
