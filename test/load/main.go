package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// order is what the command line asks for.
type order struct {
	load
	server    string
	ke        string
	name, ca  string
	nts       bool
	group     string
	conns     int // of key exchanges; 0: packets
	pid, cpu  int
	floorTLS  string // listen address of the least server of key exchanges
	chain     string
	key       string
	document  string
	config    string
	soak      time.Duration
	asJSON    bool
	bin       string
	rounds    int
	peers     string
	scenarios string
}

func main() {
	lab.Hook()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	var o order
	flag.StringVar(&o.server, "server", "", "address and port of a server to measure, on loopback; without it ours and others are compared")
	flag.BoolVar(&o.nts, "nts", false, "send NTS requests, with a fresh cookie each")
	flag.StringVar(&o.ke, "ke", "127.0.0.1:4460", "address and port of the server's key exchange")
	flag.StringVar(&o.name, "name", "server.test", "name in the server's certificate")
	flag.StringVar(&o.ca, "ca", "ca.pem", "file with the authority of the server's certificate")
	flag.IntVar(&o.spare, "placeholders", 0, "cookies that each NTS request asks for besides the one it spends")
	flag.IntVar(&o.addresses, "addresses", 1, "addresses that requests come from")
	flag.IntVar(&o.sockets, "sockets", 16, "ports that requests come from")
	flag.IntVar(&o.window, "window", 512, "requests under way at most")
	flag.Float64Var(&o.rate, "rate", 0, "requests a second; 0: as fast as answers come")
	flag.DurationVar(&o.warm, "warm", 200*time.Millisecond, "time before measuring")
	flag.DurationVar(&o.duration, "for", time.Second, "time to measure")
	flag.Uint64Var(&o.count, "count", 0, "requests to measure at most; 0: as many as the time allows")
	flag.IntVar(&o.conns, "handshakes", 0, "connections that make key exchanges one after the other, instead of packets")
	flag.StringVar(&o.group, "group", "x25519", "key agreement of key exchanges: x25519, mlkem or p256")
	flag.StringVar(&o.floorTLS, "serve-floor", "", "address to be the least server of key exchanges on")
	flag.StringVar(&o.chain, "chain", "", "its certificate")
	flag.StringVar(&o.key, "key", "", "its private key")
	flag.IntVar(&o.pid, "pid", 0, "process of the server, whose processor time and memory is shown")
	flag.IntVar(&o.cpu, "cpu", -1, "processor to generate the load on; -1: any")
	flag.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	flag.StringVar(&o.bin, "bin", "bin", "folder with our ntp-daemon, for a comparison")
	flag.IntVar(&o.rounds, "rounds", 9, "rounds of a comparison")
	flag.StringVar(&o.peers, "peers", "ours,ours-software,ours-two,chrony,ntpd-rs,ntpsec,floor,tls", "servers of a comparison: ours, ours-software (its clock in user space), ours-two (on both processors), ours-one (key exchange in the same process), chrony, ntpd-rs, ntpsec, floor (the least in C), tls (the least in Go)")
	flag.StringVar(&o.scenarios, "scenarios", "plain,many,calm,nts,nts8,ke,ke-mlkem,ke-rsa", "loads of a comparison")
	flag.StringVar(&o.document, "write", "", "file to write the comparison to, in Markdown")
	flag.StringVar(&o.config, "config", ourConfig, "configuration of ours in a comparison")
	flag.DurationVar(&o.soak, "soak", 0, "load ours for so long while its keys rotate and its configuration is read anew")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	}
	switch {
	case o.floorTLS != "":
		return serveFloor(o.floorTLS, o.chain, o.key)
	case o.soak > 0:
		return soak(&o)
	case o.server == "":
		return compare(&o)
	}
	r, err := measure(&o)
	if err != nil {
		return err
	}
	if o.asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Println(r)
	return r.failure()
}

// result is one measurement.
type result struct {
	tally
	CPU                       time.Duration // of the server, each answer; 0 when its process is not known
	Busy                      float64       // part of a processor that the server used
	P50, P90, P99, P999, Last time.Duration
	Turnaround                time.Duration // 99.9 % of answers were stamped this soon after the request
	ResidentKiB               int
}

// measure sends one load.
func measure(o *order) (*result, error) {
	if o.cpu >= 0 {
		var set unix.CPUSet
		set.Set(o.cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return nil, fmt.Errorf("processor %d: %w", o.cpu, err)
		}
	}
	at, err := netip.ParseAddrPort(o.server)
	if err != nil {
		return nil, err
	}
	var spent []time.Duration
	var failed error
	measured := func() {
		if o.pid > 0 {
			d, err := lab.CPU(o.pid)
			spent = append(spent, d)
			failed = errors.Join(failed, err)
		}
	}
	var t *tally
	if o.conns > 0 {
		t, err = o.exchangeLoad(at, measured)
	} else {
		t, err = o.packetLoad(at, measured)
	}
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	r := &result{tally: *t, Last: t.latencies.longest, Turnaround: t.turnaround.quantile(0.999)}
	q := t.latencies.quantile
	r.P50, r.P90, r.P99, r.P999 = q(0.5), q(0.9), q(0.99), q(0.999)
	if o.pid > 0 && t.Answered > 0 {
		cpu := spent[1] - spent[0]
		r.CPU = cpu / time.Duration(t.Answered)
		r.Busy = cpu.Seconds() / t.Elapsed.Seconds()
		memory, err := lab.Memory(o.pid)
		if err != nil {
			return nil, err
		}
		r.ResidentKiB = int(memory >> 10)
	}
	return r, nil
}

// packetLoad sends packets.
func (o *order) packetLoad(at netip.AddrPort, measured func()) (*tally, error) {
	o.load.server = at
	if err := o.load.validate(); err != nil {
		return nil, err
	}
	if o.nts {
		at, err := netip.ParseAddrPort(o.ke)
		if err != nil {
			return nil, err
		}
		// Twice what the window needs makes up for what is lost.
		if o.sessions, err = exchangeKeys(o.window/4+1, at, o.name, o.ca); err != nil {
			return nil, err
		}
	}
	g, err := newGenerator(o.load)
	if err != nil {
		return nil, err
	}
	defer g.close()
	return g.run(measured)
}

// exchangeLoad makes key exchanges.
func (o *order) exchangeLoad(at netip.AddrPort, measured func()) (*tally, error) {
	group, known := groups[o.group]
	switch {
	case !known:
		return nil, fmt.Errorf("key agreement %q: x25519, mlkem or p256", o.group)
	case !at.Addr().IsLoopback():
		return nil, fmt.Errorf("server %v: not a loopback address, and nothing else is asked", at)
	case o.warm < 0 || o.duration <= 0 || o.warm+o.duration > maxDuration:
		return nil, fmt.Errorf("%v and %v: more than 0 and at most %v", o.warm, o.duration, maxDuration)
	}
	h := handshakes{server: at, name: o.name, group: group, connections: o.conns, warm: o.warm, duration: o.duration}
	return h.run(measured)
}

// failure is why the measurement does not count.
func (r *result) failure() error {
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d answers were wrong, the first one: %s", r.Wrong, r.FirstWrong)
	case r.Answered == 0:
		return fmt.Errorf("nothing was answered: %d requests lost, %d datagrams that answer none", r.Lost, r.Strays)
	default:
		return nil
	}
}

func (r *result) String() string {
	s := fmt.Sprintf("%d answers, %.0f/s, %d lost, %d skipped, %d wrong, %d strays; latency %v, 90%% %v, 99%% %v, 99.9%% %v, longest %v",
		r.Answered, float64(r.Answered)/r.Elapsed.Seconds(), r.Lost, r.Skipped, r.Wrong, r.Strays,
		r.P50, r.P90, r.P99, r.P999, r.Last)
	if r.Cookies > 0 {
		s += fmt.Sprintf("; %.2f cookies each", float64(r.Cookies)/float64(r.Answered))
	}
	if r.Turnaround > 0 {
		s += fmt.Sprintf("; turned around in %v (99.9%%)", r.Turnaround)
	}
	if r.CPU > 0 {
		s += fmt.Sprintf("; server: %.2f us each, %.0f%% busy, %d KiB", float64(r.CPU)/1e3, 100*r.Busy, r.ResidentKiB)
	}
	return s
}
