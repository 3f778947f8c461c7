// Command interop runs the suite's daemons against chrony, NTPsec and ntpd-rs from Debian's packages, each pair on two
// hosts of its own, and judges by what the peers themselves have measured and counted.
//
//	go run ./test/interop                 ours against every peer, both directions, plain and NTS, and through the pool
//	go run ./test/interop -peers          the peers against each other: proves the bench, needs nothing of ours
//	go run ./test/interop -run 'chrony.*' only the rows whose name matches
//
// It needs Linux and root, builds two Debian folders on its first run (package archive, about a minute), installs nothing
// on the machine but small tools that are missing (debootstrap, iproute2, gcc), and cannot touch the machine's clock.
// The last line is `N passed, N failed`; any failed row makes the exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

type options struct {
	bin      string
	peers    bool
	match    *regexp.Regexp
	parallel int
	keep     bool
	patience time.Duration
}

func main() {
	lab.Hook()
	var o options
	var pattern string
	flag.StringVar(&o.bin, "bin", "bin", "directory with ntp-daemon, nts-pool-ke and ntp-ctl")
	flag.BoolVar(&o.peers, "peers", false, "run the peers against each other instead of ours against them")
	flag.StringVar(&pattern, "run", "", "run only the rows whose name matches this regular expression")
	flag.IntVar(&o.parallel, "j", 4, "rows that run at the same time")
	flag.BoolVar(&o.keep, "keep", false, "keep the directories of green rows too")
	flag.DurationVar(&o.patience, "patience", 75*time.Second, "how long a row may wait for its evidence")
	flag.Parse()
	var err error
	if o.match, err = regexp.Compile(pattern); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func run(ctx context.Context, o options) (failed int, err error) {
	w, err := newWorld(o)
	if err != nil {
		return 0, err
	}
	rows := w.rows()
	if o.peers {
		rows = w.peerRows()
	}
	var chosen []row
	for _, r := range rows {
		if o.match.MatchString(r.name()) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no row matches %q", o.match)
	}
	failed = w.runAll(ctx, chosen)
	if failed == 0 && !o.keep {
		if err := os.RemoveAll(w.dir); err != nil {
			return failed, err
		}
	} else {
		say("logs and files of the rows are in %s", w.dir)
	}
	fmt.Printf("%d passed, %d failed\n", len(chosen)-failed, failed)
	return failed, nil
}

// runAll runs the rows, a few at a time, and prints a line of the table as each ends.
func (w *world) runAll(ctx context.Context, rows []row) (failed int) {
	fmt.Printf("%-4s  %-16s  %-16s  %-14s  %5s  %s\n", "", "client", "server", "what", "time", "evidence")
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, w.options.parallel)
	for i, r := range rows {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			begin := time.Now()
			dir := filepath.Join(w.dir, fmt.Sprintf("%02d", i+1))
			evidence, err := w.runRow(ctx, r, dir)
			mu.Lock()
			defer mu.Unlock()
			word := "ok"
			if err != nil {
				failed++
				word, evidence = "RED", err.Error()+" ["+dir+"]"
			}
			fmt.Printf("%-4s  %-16s  %-16s  %-14s  %4.0fs  %s\n", word, r.client, r.server, r.what, time.Since(begin).Seconds(), evidence)
		})
	}
	wg.Wait()
	return failed
}

func (w *world) runRow(ctx context.Context, r row, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.options.patience)
	defer cancel()
	b, err := w.newBench(dir)
	if err != nil {
		return "", err
	}
	defer b.close()
	return r.prove(ctx, b)
}
