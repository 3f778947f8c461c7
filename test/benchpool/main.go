// Command benchpool measures what nts-pool-ke costs beside an NTS server that
// is asked directly, in the same run and in turns, because machines are noisy
// and shared: processor time for a key exchange, the part of it that goes to
// the time sources, and the memory that a connected client holds.
//
// The clients are a process of their own; pool and servers are the programs of
// bin/. All traffic stays on the loopback. The last line is
//
//	bench-pool: cpu R upstream R idle_kib N
//
// where cpu is the pool's processor time for one exchange divided by the
// server's (the worse of the key agreements), upstream is the part of the
// pool's that it spends on its sources, and idle_kib is what one of the
// connected clients holds in KiB. The program fails if a client was not
// answered, or if a figure is beyond its limit.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// What the figures may be at most.
const (
	mostCPU      = 1.3
	mostUpstream = 0.1
	mostIdleKiB  = 30
)

type options struct {
	bin     string
	slice   time.Duration
	rounds  int
	clients int
	crowded int
}

func main() {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			finish(role(os.Args[2:]))
		}
	}
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "directory of the programs")
	flag.DurationVar(&o.slice, "slice", 1500*time.Millisecond, "time for each turn of a comparison")
	flag.IntVar(&o.rounds, "rounds", 5, "turns of each")
	flag.IntVar(&o.clients, "clients", 10000, "clients that are connected at once")
	flag.IntVar(&o.crowded, "crowd", 3000, "clients of one network that come at once, again and again")
	flag.Parse()
	finish(run(o))
}

// roles are what the process does when it runs itself again.
var roles = map[string]func(args []string) error{
	"generator": generator,
	"upstream":  upstreamShare,
}

func finish(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-pool:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(o options) (err error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-pool-")
	if err != nil {
		return err
	}
	b := &bench{options: o, bin: bin, dir: dir}
	done := make(chan error, 1)
	go func() { done <- b.measure() }()
	select {
	case err = <-done:
	case <-interrupted:
		err = errors.New("interrupted")
	}
	b.stop()
	if err != nil {
		return fmt.Errorf("%w (logs are in %s)", err, dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	fmt.Printf("bench-pool: cpu %.2f upstream %.3f idle_kib %.1f\n", b.cpu, b.upstream, b.idle)
	if b.cpu > mostCPU || b.upstream > mostUpstream || b.idle > mostIdleKiB {
		return fmt.Errorf("a figure is beyond its limit: cpu %.2f, upstream %.2f, idle_kib %d", mostCPU, mostUpstream, mostIdleKiB)
	}
	return nil
}
