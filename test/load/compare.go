package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Processors of a comparison.
const (
	serverCPU    = "0"
	generatorCPU = "1"
)

// scenario is a load of a comparison. The window of packets fits into the
// receive buffer that a socket has by default, which not all servers enlarge:
// lost requests cost processor time that no answer is counted for.
type scenario struct {
	name, what string
	args       []string
	who        []string // servers that take part
	port       string
	ourPort    string // where ours has another one for it
	times      int    // that it is done in a round: key exchanges differ most from time to time
}

var (
	packets   = []string{"-sockets=16", "-window=192"}
	exchanges = []string{"-handshakes=8"}
)

var scenarios = []scenario{
	{"plain", "plain NTP from one address", packets, []string{"ours", "ours-software", "ours-two", "chrony", "ntpd-rs", "ntpsec", "floor"}, "123", "123", 1},
	{"many", "plain NTP from 4,000 addresses", with(packets, "-addresses=4000"), []string{"ours", "ours-software", "ours-two", "chrony", "ntpd-rs", "ntpsec", "floor"}, "123", "1123", 1},
	{"calm", "plain NTP, 20,000 requests a second", with(packets, "-rate=20000"), []string{"ours", "ours-software", "chrony", "ntpd-rs", "ntpsec"}, "123", "123", 1},
	{"nts", "NTS, one cookie out and one back", with(packets, "-nts"), []string{"ours", "ours-software", "ours-two", "chrony", "ntpd-rs", "ntpsec"}, "123", "123", 1},
	{"nts8", "NTS, eight cookies asked for", with(packets, "-nts", "-placeholders=7"), []string{"ours", "ours-software", "ours-two", "chrony", "ntpd-rs", "ntpsec"}, "123", "123", 1},
	{"ke", "key exchange, ECDSA P-256 and X25519", exchanges, []string{"ours", "ours-one", "chrony", "ntpd-rs", "ntpsec", "tls"}, "4460", "4460", 3},
	{"ke-mlkem", "key exchange, ECDSA P-256 and X25519MLKEM768", with(exchanges, "-group=mlkem"), []string{"ours", "tls"}, "4460", "4460", 3},
	{"ke-rsa", "key exchange, RSA-2048 and X25519", exchanges, []string{"ours", "tls"}, "4461", "4461", 3},
}

func with(args []string, more ...string) []string { return slices.Concat(args, more) }

// pick finds the scenarios of a list of names.
func pick(list string) (picked []scenario, err error) {
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown scenario %q", name)
		}
		picked = append(picked, scenarios[i])
	}
	return picked, nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func compare(o *order) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("a comparison needs root, to make network namespaces")
	}
	picked, err := pick(o.scenarios)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var all []*contender
	defer func() {
		for _, c := range all {
			c.host.Close()
		}
	}()
	for name := range strings.SplitSeq(o.peers, ",") {
		c, err := start(o, name, filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, c)
	}
	client, err := idleClient(all)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		for _, s := range picked {
			for range s.times {
				if err := askAll(o, &s, all, round); err != nil {
					return err
				}
			}
		}
	}
	idle, err := client.resident()
	if err != nil {
		return err
	}
	t := table{scenarios: picked, contenders: all, rounds: o.rounds, client: idle}
	t.print(os.Stdout)
	if o.document == "" {
		return nil
	}
	return t.save(o.document)
}

// askAll measures a scenario once with each server that takes part.
func askAll(o *order, s *scenario, all []*contender, round int) error {
	for _, c := range all {
		if !slices.Contains(s.who, c.name) {
			continue
		}
		r, err := c.ask(o, s)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.name, s.name, err)
		}
		say("round %d %-8s %-13s %v", round+1, s.name, c.name, r)
		c.results[s.name] = append(c.results[s.name], r)
	}
	return nil
}

// table is what a comparison found.
type table struct {
	scenarios  []scenario
	contenders []*contender
	rounds     int
	client     float64 // resident memory of an idle client of ours, MiB
}

func (t *table) find(name string) *contender {
	for _, c := range t.contenders {
		if c.name == name {
			return c
		}
	}
	return nil
}

// ratio is ours to another server's processor time for a request, 0 when one of
// them was not measured.
func (t *table) ratio(scenario, other string) float64 {
	ours, theirs := t.find("ours"), t.find(other)
	if ours == nil || theirs == nil || len(ours.results[scenario]) == 0 || len(theirs.results[scenario]) == 0 {
		return 0
	}
	return ours.median(scenario, microseconds) / theirs.median(scenario, microseconds)
}

// rows calls f with each result: medians, and the ratio to chrony and to the
// floor, 0 where there is none.
func (t *table) rows(f func(s *scenario, c *contender, toChrony, toFloor float64)) {
	for i := range t.scenarios {
		s := &t.scenarios[i]
		for _, c := range t.contenders {
			if len(c.results[s.name]) == 0 {
				continue
			}
			us := c.median(s.name, microseconds)
			to := func(other string) float64 {
				if o := t.find(other); o != nil && len(o.results[s.name]) > 0 {
					return us / o.median(s.name, microseconds)
				}
				return 0
			}
			f(s, c, to("chrony"), max(to("floor"), to("tls")))
		}
	}
}

func (t *table) print(w io.Writer) {
	t.rows(func(s *scenario, c *contender, toChrony, toFloor float64) {
		fmt.Fprintf(w, "%-8s %-13s %8.2f us each  %s x chrony  %s x floor  %7.0f/s  99%% %-10v %5.1f MiB\n",
			s.name, c.name, c.median(s.name, microseconds), orDash(toChrony), orDash(toFloor),
			c.median(s.name, perSecond), c.span(s.name, func(r *result) time.Duration { return r.P99 }), c.median(s.name, mebibytes))
	})
	ours := t.find("ours")
	if ours == nil {
		return
	}
	memory := 0.0
	for _, s := range t.scenarios {
		if len(ours.results[s.name]) > 0 {
			memory = max(memory, ours.median(s.name, mebibytes))
		}
	}
	fmt.Fprintf(w, "bench: plain %.2f nts %.2f ke %.2f floor %.2f rss_client %.1f rss_server %.1f\n",
		t.ratio("plain", "chrony"), t.ratio("nts", "chrony"), t.ratio("ke", "chrony"), t.ratio("plain", "floor"), t.client, memory)
}

func orDash(ratio float64) string {
	if ratio == 0 {
		return "   –"
	}
	return fmt.Sprintf("%.2f", ratio)
}
