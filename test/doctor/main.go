// Command doctor breaks time synchronisation in the ways that operators of
// several projects have reported, out of real processes in network namespaces
// of their own, and looks whether `ntp-ctl doctor` names the cause: its first
// line that is not OK must be that one. Each set-up has a healthy twin, which
// differs in the cause alone, and for which doctor must find nothing.
//
// doctor knows nothing of the set-ups: it is the command that `make build`
// builds, run as an operator runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

func main() {
	lab.Hook()
	if len(os.Args) > 1 && os.Args[1] == roleClock {
		fmt.Fprintln(os.Stderr, serveClock(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == roleOdd {
		fmt.Fprintln(os.Stderr, serveOdd(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(run())
}

func run() int {
	bin := flag.String("bin", "bin", "folder of the built commands")
	only := flag.String("run", "", "run only the set-ups whose name contains this")
	keep := flag.Bool("v", false, "show what doctor says of every set-up")
	more := flag.Bool("more", false, "run the further set-ups too")
	at := flag.Int("parallel", 3, "set-ups at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := newSuite(*bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.close()
	all := setups
	if *more {
		all = append(append(all, further...), unforeseen...)
	}
	var chosen []*setup
	for i := range all {
		if strings.Contains(all[i].name, *only) {
			chosen = append(chosen, &all[i])
		}
	}
	passed, failed := s.runAll(ctx, chosen, *at, *keep)
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		return 1
	}
	return 0
}

// suite is what all set-ups share.
type suite struct {
	bin, dir  string
	authority *authority
	debian    string // the folder that chrony runs out of
}

func newSuite(bin string) (*suite, error) {
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	abs, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if err := lab.NeedTools(say, "ip"); err != nil {
		return nil, err
	}
	if _, err := os.Stat("/usr/sbin/nft"); err != nil {
		if err := lab.NeedTools(say, "nftables"); err != nil {
			return nil, err
		}
	}
	folder, err := lab.OpenFolder("bookworm", say)
	if err != nil {
		return nil, err
	}
	if err := folder.Install("chrony"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ntp-doctor-")
	if err != nil {
		return nil, err
	}
	authority, err := newAuthority("laboratory")
	if err != nil {
		return nil, err
	}
	return &suite{bin: abs, dir: dir, authority: authority, debian: folder.Path}, nil
}

func (s *suite) close() { os.RemoveAll(s.dir) }

// runAll runs set-ups, some at once, and prints a line for each in their order.
func (s *suite) runAll(ctx context.Context, all []*setup, at int, keep bool) (passed, failed int) {
	results := make([]result, len(all))
	ready := make([]chan struct{}, len(all))
	slots := make(chan struct{}, max(at, 1))
	var running sync.WaitGroup
	for i := range all {
		ready[i] = make(chan struct{})
		running.Go(func() {
			defer close(ready[i])
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() == nil {
				results[i] = s.judge(ctx, all[i], i)
			} else {
				results[i].err = ctx.Err()
			}
		})
	}
	for i := range all {
		<-ready[i]
		r := &results[i]
		word := "ok  "
		if r.err != nil {
			word, failed = "FAIL", failed+1
		} else {
			passed++
		}
		fmt.Printf("%s  %2d %-28s %s\n", word, i+1, all[i].name, all[i].thread)
		fmt.Printf("        %s\n", r.first)
		if r.err != nil {
			fmt.Printf("        %v\n", r.err)
		}
		if keep || r.err != nil {
			fmt.Printf("%s\n", indent(r.text))
		}
	}
	running.Wait()
	return passed, failed
}

func indent(text string) string {
	return "        | " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        | ")
}
