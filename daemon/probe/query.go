package probe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// QueryOptions says how to ask servers for the time.
type QueryOptions struct {
	Network  string // "ip", "ip4" or "ip6"; empty is "ip"
	Timeout  time.Duration
	Count    int           // requests to each server, at least one
	Interval time.Duration // between them
	NTS      bool
	SRV      bool // find key-exchange servers by SRV records; with NTS
	Pool     int  // servers to ask a pool's key exchange for; 0 without a pool
	Client   ke.ClientRequest
	Resolver *net.Resolver // for SRV records; nil is the system's
}

// Row is what came of the requests to one server.
type Row struct {
	Host     string         `json:"host"`
	Address  netip.AddrPort `json:"address"`
	Severity Severity       `json:"status"`
	Text     string         `json:"text,omitempty"` // why not ok
	NTS      bool           `json:"nts"`
	AEAD     string         `json:"aead,omitempty"`
	Sent     int            `json:"sent"`
	Received int            `json:"received"`
	Best     *Answer        `json:"best"` // the answer of the least delay
	Bound    *float64       `json:"bound"`
	Jitter   *float64       `json:"jitter"` // root mean square of the offsets from the best's
}

// Query asks every target at once and returns rows in the order of the
// targets.
func Query(ctx context.Context, targets []Target, o QueryOptions) []Row {
	if o.Network == "" {
		o.Network = "ip"
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	out := make([][]Row, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { out[i] = query(ctx, t, &o) })
	}
	all.Wait()
	return slices.Concat(out...)
}

func query(ctx context.Context, t Target, o *QueryOptions) []Row {
	if o.SRV {
		found, err := SRV(ctx, o.Resolver, t.Host)
		if err != nil {
			return []Row{{Host: t.Host, NTS: true, Severity: Unknown, Text: err.Error()}}
		}
		plain := *o
		plain.SRV = false
		return Query(ctx, found, plain)
	}
	if o.Pool > 0 {
		return pool(ctx, t, o)
	}
	if !o.NTS {
		row := Row{Host: t.Host}
		row.ask(ctx, t, nil, o)
		return []Row{row}
	}
	row, _ := secure(ctx, t, nil, o)
	return []Row{row}
}

// pool asks a pool's key exchange for several servers: each time it denies
// those that it has.
func pool(ctx context.Context, t Target, o *QueryOptions) []Row {
	var rows []Row
	var have []string
	for range o.Pool {
		row, server := secure(ctx, t, have, o)
		if server == "" || slices.ContainsFunc(have, func(h string) bool { return nts.SameServer(h, server) }) {
			if len(rows) == 0 {
				rows = append(rows, row)
			}
			break // a failure, or the pool has no more servers
		}
		have = append(have, server)
		rows = append(rows, row)
	}
	return rows
}

// secure makes a key exchange and asks the server that it names.
func secure(ctx context.Context, t Target, deny []string, o *QueryOptions) (row Row, server string) {
	row = Row{Host: t.Host, NTS: true}
	req := o.Client
	req.Host, req.Port, req.Deny = t.Host, t.Port, deny
	bounded, cancel := context.WithTimeout(ctx, 3*o.Timeout)
	defer cancel()
	if o.Network != "ip" {
		addrs, err := Lookup(bounded, o.Network, t.Host)
		if err != nil {
			f := lookupFinding(t.Host, err)
			row.Severity, row.Text = f.Severity, f.Sentence
			return row, ""
		}
		for _, a := range addrs {
			req.Addrs = append(req.Addrs, netip.AddrPortFrom(a, t.Port))
		}
	}
	s, err := Establish(bounded, req)
	if err != nil {
		row.Severity, row.Text = Critical, err.Error()
		return row, ""
	}
	row.AEAD = s.Algorithm.String()
	if s.Named {
		row.Host = s.Server
	}
	row.ask(ctx, Target{Host: s.Server, Port: s.Port}, s, o)
	return row, s.Server
}

// ask sends the requests and sums up what came.
func (row *Row) ask(ctx context.Context, t Target, s *Session, o *QueryOptions) {
	addrs, err := Lookup(ctx, o.Network, t.Host)
	if err != nil {
		f := lookupFinding(t.Host, err)
		row.Severity, row.Text = f.Severity, f.Sentence
		return
	}
	row.Address = netip.AddrPortFrom(addrs[0], t.Port)
	var answers []Answer
	for i := range max(o.Count, 1) {
		if i > 0 && !pause(ctx, o.Interval) {
			break
		}
		if s != nil && s.Cookies() == 0 {
			break
		}
		row.Sent++
		answers = append(answers, Ask(ctx, Question{To: row.Address, Timeout: o.Timeout, Session: s}))
	}
	row.sum(answers)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sum keeps the answer of the least delay: what waited least tells most.
func (row *Row) sum(answers []Answer) {
	good := slices.DeleteFunc(slices.Clone(answers), func(a Answer) bool { return a.Verdict != Answered })
	row.Received = len(good)
	switch {
	case len(answers) == 0:
		row.Severity, row.Text = Unknown, "nothing was asked"
		return
	case len(good) == 0:
		last := &answers[len(answers)-1]
		row.Severity, row.Text, row.Best = Critical, last.Sentence(), last
		if last.Verdict == NoRoute || last.Verdict == Forbidden {
			row.Severity = Unknown
		}
		return
	case len(good) < len(answers):
		other := answers[slices.IndexFunc(answers, func(a Answer) bool { return a.Verdict != Answered })]
		row.Severity, row.Text = Warning, fmt.Sprintf("%d of %d requests were answered; else: %s", len(good), len(answers), other.Sentence())
	}
	best := slices.MinFunc(good, func(a, b Answer) int { return cmp.Compare(*a.Delay, *b.Delay) })
	bound, jitter := best.Bound(), spread(good, *best.Offset)
	row.Best, row.Bound, row.Jitter = &best, &bound, &jitter
}

// Comparison is how well servers agree.
type Comparison struct {
	Servers  int      `json:"servers"`
	Agreeing int      `json:"agreeing"` // the most whose intervals have a point in common
	Offset   *float64 `json:"offset"`   // the middle of what those have in common
	Spread   *float64 `json:"spread"`   // between the least and the greatest offset of all
	Disagree []string `json:"disagree"` // hosts outside
}

// Compare finds the offset that most servers allow (as Marzullo's algorithm
// does): each says that the true offset is within its bound of its own.
func Compare(rows []Row) Comparison {
	c := Comparison{Disagree: []string{}}
	var at []Interval
	var hosts []string
	for i := range rows {
		if r := &rows[i]; r.Bound != nil {
			at = append(at, Interval{*r.Best.Offset - *r.Bound, *r.Best.Offset + *r.Bound})
			hosts = append(hosts, r.Host)
		}
	}
	c.Servers = len(at)
	if len(at) == 0 {
		return c
	}
	common, n := Agree(at)
	middle := (common.Low + common.High) / 2
	low, high := at[0].middle(), at[0].middle()
	for i, a := range at {
		low, high = min(low, a.middle()), max(high, a.middle())
		if a.High < common.Low || a.Low > common.High {
			c.Disagree = append(c.Disagree, hosts[i])
		}
	}
	width := high - low
	c.Agreeing, c.Offset, c.Spread = n, &middle, &width
	return c
}

// Interval is where a server says that the true offset is, in seconds.
type Interval struct{ Low, High float64 }

func (i Interval) middle() float64 { return (i.Low + i.High) / 2 }

// Agree finds the place that the most intervals share, and how many do. Of
// several such places it takes the first.
func Agree(at []Interval) (Interval, int) {
	type edge struct {
		x    float64
		step int
	}
	var edges []edge
	for _, a := range at {
		edges = append(edges, edge{a.Low, -1}, edge{a.High, +1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.step, b.step)) })
	var best Interval
	most, open := 0, 0
	for i, e := range edges {
		open -= e.step
		if open > most {
			most, best = open, Interval{e.x, edges[i+1].x}
		}
	}
	return best, most
}
