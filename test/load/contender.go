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

// contender is a server of a comparison, which runs all the time and is asked
// in turns.
type contender struct {
	name      string
	host      *lab.Host
	program   []string       // ours
	processes []*lab.Process // the second one of a floor serves key exchanges
	results   map[string][]*result
}

// Figures of a result.
func microseconds(r *result) float64 { return float64(r.CPU) / 1e3 }
func perSecond(r *result) float64    { return float64(r.Answered) / r.Elapsed.Seconds() }
func mebibytes(r *result) float64    { return float64(r.ResidentKiB) / 1024 }

// median is that of a figure over the rounds.
func (c *contender) median(scenario string, figure func(*result) float64) float64 {
	var v []float64
	for _, r := range c.results[scenario] {
		v = append(v, figure(r))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// span is the median of a time.
func (c *contender) span(scenario string, figure func(*result) time.Duration) time.Duration {
	return time.Duration(c.median(scenario, func(r *result) float64 { return float64(figure(r)) }))
}

const chronyConfig = `local stratum 1
allow all
ntsserverkey /run/lab/server.key
ntsservercert /run/lab/server.chain.pem
cmdport 0
bindcmdaddress /
pidfile /run/chronyd.pid
`

const rustConfig = `[observability]
observation-path = "/run/lab/observe"
[[server]]
listen = "0.0.0.0:123"
[[nts-ke-server]]
listen = "0.0.0.0:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
[synchronization]
local-stratum = 1
`

const ntpsecConfig = `refclock local stratum 1 minpoll 3 maxpoll 3 prefer
tos orphan 2 orphanwait 1
restrict default
restrict 127.0.0.0 mask 255.0.0.0
nts enable
nts key /run/lab/server.key
nts cert /run/lab/server.chain.pem
nts cookie /run/lab/cookies
nts mintls TLS1.3
`

// ourConfig is the configuration that ours is measured with.
const ourConfig = "examples/busy-server.toml"

// start starts a server in a network namespace of its own.
func start(o *order, name, dir string) (*contender, error) {
	host, err := lab.NewHost(name, dir)
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, host: host, results: map[string][]*result{}}
	if err = c.certificates(); err == nil {
		err = c.launch(o)
	}
	if err != nil {
		host.Close()
		return nil, err
	}
	return c, nil
}

func (c *contender) certificates() error {
	authority, err := lab.NewAuthority("load authority")
	if err == nil {
		err = authority.WriteRoot(filepath.Join(c.host.Dir, "ca.pem"))
	}
	if err == nil {
		err = authority.WriteLeaf(c.host.Dir, "server", "server.test")
	}
	if err == nil {
		err = authority.WriteRSALeaf(c.host.Dir, "server-rsa", "server.test")
	}
	return err
}

func (c *contender) launch(o *order) error {
	switch c.name {
	case "ours", "ours-software", "ours-two", "ours-one":
		return c.launchOurs(o)
	case "floor":
		program, err := buildFloor(c.host.Dir)
		if err != nil {
			return err
		}
		return c.run("", []string{"-for=20ms", "-warm=0s", "-sockets=1", "-window=1"}, "/run/lab/"+filepath.Base(program), "123")
	case "tls":
		self, err := os.Executable()
		if err != nil {
			return err
		}
		for _, kind := range []struct{ listen, name string }{{"127.0.0.1:4460", "server"}, {"127.0.0.1:4461", "server-rsa"}} {
			err := c.run("", []string{"-for=20ms", "-warm=0s", "-handshakes=1", "-server=" + kind.listen}, self, "-serve-floor="+kind.listen,
				"-chain=/run/lab/"+kind.name+".chain.pem", "-key=/run/lab/"+kind.name+".key")
			if err != nil {
				return err
			}
		}
		return nil
	case "chrony":
		return c.launchPeer(chronyConfig, "chronyd", "-x", "-d", "-U", "-u", "root", "-f", "/run/lab/server.conf")
	case "ntpd-rs":
		return c.launchPeer(rustConfig, "ntp-daemon", "-c", "/run/lab/server.conf")
	case "ntpsec":
		return c.launchPeer(ntpsecConfig, "ntpd", "-n", "-c", "/run/lab/server.conf")
	default:
		return fmt.Errorf("unknown server: ours, ours-software, ours-two, ours-one, chrony, ntpd-rs, ntpsec, floor or tls")
	}
}

// launchOurs starts our daemon. Without sources it reads the system's clock and
// never touches it.
func (c *contender) launchOurs(o *order) error {
	program, err := filepath.Abs(filepath.Join(o.bin, "ntp-daemon"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(o.config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.host.Dir, "server.conf"), text, 0o644); err != nil {
		return err
	}
	c.program = []string{program}
	args := []string{program, "-c", "/run/lab/server.conf"}
	switch c.name {
	case "ours-software":
		args = append(args, "--no-clock")
	case "ours-one":
		args = append(args, "--one-process")
	}
	return c.run("", isUp, args...)
}

// isUp is a load that a server answers as soon as it serves.
var isUp = []string{"-for=20ms", "-warm=0s", "-sockets=1", "-window=1", "-nts"}

// launchPeer starts a server out of Debian's packages.
func (c *contender) launchPeer(config string, args ...string) error {
	folder, err := lab.OpenFolder("trixie", say)
	if err == nil {
		err = folder.Install(c.name)
	}
	if err == nil {
		err = folder.Overlay("chrony", "ntpd-rs")
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.host.Dir, "server.conf"), []byte(config), 0o644)
	}
	if err != nil {
		return err
	}
	return c.run(folder.Path, isUp, args...)
}

// run starts a program on the server's processor and waits until it answers.
func (c *contender) run(folder string, probe []string, args ...string) error {
	p := lab.Program{Folder: folder, Urgent: true, Log: fmt.Sprintf("server%d.log", len(c.processes))}
	cpus := serverCPU
	if c.name == "ours-two" {
		cpus += "," + generatorCPU
	}
	p.Args = slices.Concat([]string{"taskset", "-c", cpus}, args)
	process, err := c.host.Start(p)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, process)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return lab.Eventually(ctx, 100*time.Millisecond, func() error {
		if ended, err := process.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("ended (%v): %s", err, process.Tail(5))}
		}
		_, err := c.generate(probe...)
		return err
	})
}

// ask measures one scenario.
func (c *contender) ask(o *order, s *scenario) (*result, error) {
	port, process := s.port, c.processes[0]
	if strings.HasPrefix(c.name, "ours") {
		port = s.ourPort
	}
	if c.name == "tls" && port == "4461" {
		process = c.processes[1]
	}
	args := []string{
		"-server=127.0.0.1:" + port, "-for=" + o.duration.String(), "-cpu=" + generatorCPU,
		fmt.Sprintf("-pid=%d", process.Pid()),
	}
	return c.generate(append(args, s.args...)...)
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
