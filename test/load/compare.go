package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Processors of a comparison.
const (
	serverCPU    = "0"
	generatorCPU = "1"
)

// scenarios are the loads of a comparison, as arguments. The window fits into
// the receive buffer that a socket has by default, which not all servers enlarge:
// lost requests cost processor time that no answer is counted for.
var scenarios = map[string][]string{
	"plain": {"-sockets=16", "-window=192"},
	"many":  {"-sockets=16", "-window=192", "-addresses=4000"},
	"nts":   {"-sockets=16", "-window=192", "-nts"},
	"nts8":  {"-sockets=16", "-window=192", "-nts", "-placeholders=7"},
}

// contender is a server of a comparison, which runs all the time and is asked
// in turns.
type contender struct {
	name    string
	host    *lab.Host
	process *lab.Process
	results map[string][]*result
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func compare(o *order) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("a comparison needs root, to make network namespaces")
	}
	names := strings.Split(o.scenarios, ",")
	for _, n := range names {
		if scenarios[n] == nil {
			return fmt.Errorf("unknown scenario %q", n)
		}
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
	for round := range o.rounds {
		for _, scenario := range names {
			for _, c := range all {
				r, err := c.ask(o, scenario)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, scenario, err)
				}
				say("round %d %-6s %-13s %v", round+1, scenario, c.name, r)
				c.results[scenario] = append(c.results[scenario], r)
			}
		}
	}
	for _, scenario := range names {
		report(scenario, all)
	}
	return nil
}

// report prints medians, and their ratios to chrony's.
func report(scenario string, all []*contender) {
	median := func(c *contender, f func(*result) float64) float64 {
		var v []float64
		for _, r := range c.results[scenario] {
			v = append(v, f(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	cpu := func(r *result) float64 { return float64(r.CPU) / 1e3 }
	base := 0.0
	for _, c := range all {
		if c.name == "chrony" {
			base = median(c, cpu)
		}
	}
	for _, c := range all {
		us := median(c, cpu)
		line := fmt.Sprintf("%-6s %-13s %6.2f us each", scenario, c.name, us)
		if base > 0 {
			line += fmt.Sprintf("  %.2f x chrony", us/base)
		}
		rate := median(c, func(r *result) float64 { return float64(r.Answered) / r.Elapsed.Seconds() })
		p99 := time.Duration(median(c, func(r *result) float64 { return float64(r.P99) }))
		rss := median(c, func(r *result) float64 { return float64(r.ResidentKiB) / 1024 })
		fmt.Printf("%s  %7.0f/s  99%% %-10v %5.1f MiB\n", line, rate, p99, rss)
	}
}

const chronyConfig = `local stratum 1
allow all
ntsserverkey /run/lab/server.key
ntsservercert /run/lab/server.chain.pem
cmdport 0
bindcmdaddress /
pidfile /run/chronyd.pid
`

// config is that of our daemon, which ntpd-rs reads too. Every request consults
// the limiter, which is wide open.
const config = `[observability]
observation-path = "/run/lab/observe"
[[server]]
listen = "0.0.0.0:123"
rate-limiting-cache-size = 65536
rate-limiting-cutoff-ms = %d
[[nts-ke-server]]
listen = "0.0.0.0:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
[synchronization]
local-stratum = 1
`

// start starts a server in a network namespace of its own.
func start(o *order, name, dir string) (*contender, error) {
	host, err := lab.NewHost(name, dir)
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, host: host, results: map[string][]*result{}}
	if err := c.launch(o); err != nil {
		host.Close()
		return nil, err
	}
	return c, nil
}

func (c *contender) launch(o *order) error {
	authority, err := lab.NewAuthority("load authority")
	if err == nil {
		err = authority.WriteRoot(filepath.Join(c.host.Dir, "ca.pem"))
	}
	if err == nil {
		err = authority.WriteLeaf(c.host.Dir, "server", "server.test")
	}
	if err != nil {
		return err
	}
	p := lab.Program{Args: []string{"taskset", "-c", serverCPU}, Urgent: true, Log: "server.log"}
	text := fmt.Sprintf(config, 0)
	switch c.name {
	case "ours", "ours-software":
		bin, err := filepath.Abs(filepath.Join(o.bin, "ntp-daemon"))
		if err != nil {
			return err
		}
		// Without sources it reads the system's clock and never touches it.
		p.Args = append(p.Args, bin, "-c", "/run/lab/server.conf")
		if c.name == "ours-software" {
			p.Args = append(p.Args, "--no-clock")
		}
	case "chrony", "ntpd-rs":
		folder, err := lab.OpenFolder("trixie", say)
		if err == nil {
			err = folder.Install(c.name)
		}
		if err == nil {
			err = folder.Overlay("chrony", "ntpd-rs")
		}
		if err != nil {
			return err
		}
		p.Folder = folder.Path
		if c.name == "chrony" {
			text = chronyConfig
			p.Args = append(p.Args, "chronyd", "-x", "-d", "-U", "-u", "root", "-f", "/run/lab/server.conf")
		} else {
			p.Args = append(p.Args, "ntp-daemon", "-c", "/run/lab/server.conf")
		}
	default:
		return fmt.Errorf("unknown server: ours, ours-software, chrony or ntpd-rs")
	}
	if err := os.WriteFile(filepath.Join(c.host.Dir, "server.conf"), []byte(text), 0o644); err != nil {
		return err
	}
	if c.process, err = c.host.Start(p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return lab.Eventually(ctx, 100*time.Millisecond, func() error {
		if ended, err := c.process.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("ended (%v): %s", err, c.process.Tail(5))}
		}
		_, err := c.generate("-for=20ms", "-warm=0s", "-sockets=1", "-window=1", "-nts")
		return err
	})
}

// ask measures one scenario.
func (c *contender) ask(o *order, scenario string) (*result, error) {
	args := append([]string{"-for=" + o.duration.String(), "-cpu=" + generatorCPU}, scenarios[scenario]...)
	return c.generate(append(args, "-pid="+fmt.Sprint(c.process.Pid()))...)
}

// generate runs this program inside the host.
func (c *contender) generate(args ...string) (*result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args = append([]string{self, "-server=127.0.0.1:123", "-ca=/run/lab/ca.pem", "-json"}, args...)
	text, err := c.host.Output(lab.Program{Args: args, Urgent: true})
	if err != nil {
		return nil, err
	}
	var r result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	return &r, r.failure()
}
