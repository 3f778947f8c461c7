// Command soakpool runs nts-pool-ke among time sources that die, return, lie,
// stall in the middle of a message and change their dialect, while clients come
// all the time. The sources write down every octet they receive. From these
// records, and not from what the pool says of itself, it is judged that no
// client's keys went to two sources. In the end the pool must hold no more
// goroutines and descriptors than before, and stop in order.
//
// The same -seed makes the same troubles. The last line is
//
//	soak-pool: ok exchanges N served N failed N two_sources 0 ...
//
// or the program fails and says why.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

type options struct {
	bin      string
	duration time.Duration
	seed     uint64
	sources  int
	clients  int
	verbose  bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "directory of the programs")
	flag.DurationVar(&o.duration, "duration", 20*time.Minute, "how long there is trouble")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the troubles")
	flag.IntVar(&o.sources, "sources", 8, "time sources")
	flag.IntVar(&o.clients, "clients", 6, "clients at once")
	flag.BoolVar(&o.verbose, "v", false, "tell each trouble")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "soak-pool:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	dir, err := os.MkdirTemp("", "soak-pool-")
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, %v, %d sources, %d clients at once\n", o.seed, o.duration, o.sources, o.clients)
	s := &soak{options: o, dir: dir, random: rand.New(rand.NewPCG(o.seed, 1)), end: make(chan struct{})}
	if s.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	defer s.kill()
	if err := s.launch(); err != nil {
		return fmt.Errorf("%w (files are in %s)", err, dir)
	}
	if err := s.soak(interrupted); err != nil {
		return fmt.Errorf("%w (files are in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// soak lets there be trouble, and judges.
func (s *soak) soak(interrupted <-chan os.Signal) error {
	before, err := s.settle()
	if err != nil {
		return err
	}
	var busy sync.WaitGroup
	for range s.clients {
		busy.Go(s.client)
	}
	over := time.After(s.duration)
	report := time.NewTicker(time.Minute)
	defer report.Stop()
	began := time.Now()
	for running := true; running; {
		s.trouble()
		select {
		case <-over:
			running = false
		case <-interrupted:
			return errors.New("interrupted")
		case <-report.C:
			fmt.Printf("%v: %v\n", time.Since(began).Round(time.Second), s.tally())
		case <-time.After(time.Duration(100+s.random.IntN(900)) * time.Millisecond):
		}
		if err := s.alive(); err != nil {
			return err
		}
	}
	for _, source := range s.list {
		source.turn(healthy)
	}
	close(s.end)
	busy.Wait()
	after, err := s.settle()
	if err != nil {
		return err
	}
	return s.judge(before, after)
}

// judge compares what the sources have written down with what the clients know,
// and ends the pool.
func (s *soak) judge(before, after usage) error {
	problems := s.problems(before, after)
	if err := s.terminate(); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("seed %d: %w", s.seed, err)
	}
	t := s.tally()
	fmt.Printf("soak-pool: ok exchanges %d served %d failed %d two_sources 0 goroutines %d->%d descriptors %d->%d seed %d\n",
		t.exchanges, t.served, t.failed, before.goroutines, after.goroutines, before.descriptors, after.descriptors, s.seed)
	return nil
}

// problems is all that is wrong.
func (s *soak) problems(before, after usage) (problems []error) {
	seen := make(map[key][]string)
	for _, source := range s.list {
		for k := range source.keysAmong(s.known) {
			seen[k] = append(seen[k], source.name)
		}
	}
	for k, c := range s.known {
		names := seen[k]
		if len(names) > 1 {
			problems = append(problems, fmt.Errorf("the keys of one client went to %v", names))
		}
		if c.from != "" && (len(names) != 1 || names[0] != c.from) {
			problems = append(problems, fmt.Errorf("a client has cookies of %s, and its keys went to %v", c.from, names))
		}
	}
	t := s.tally()
	if t.strange > 0 {
		problems = append(problems, fmt.Errorf("%d clients were answered as no pool answers: %s", t.strange, s.oddest))
	}
	if t.served < t.exchanges/2 || t.exchanges == 0 {
		problems = append(problems, fmt.Errorf("only %d of %d clients were served, though most sources work at any time", t.served, t.exchanges))
	}
	if after.goroutines > before.goroutines+4*len(s.list)+16 || after.descriptors > before.descriptors+4*len(s.list) {
		problems = append(problems, fmt.Errorf("something leaks: %v before, %v after", before, after))
	}
	return problems
}
