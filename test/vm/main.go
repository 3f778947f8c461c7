// Command vm runs the suite's daemons in virtual machines that have a kernel clock of their own to steer.
//
//	go run ./test/vm              every scenario, the long ones shortened
//	go run ./test/vm -long        every scenario in full
//	go run ./test/vm -run steer   only the scenarios whose name matches
//	go run ./test/vm -duel 5      ours and chrony in turns, five machines each
//
// It needs Linux, root and the commands in bin/. On its first run it builds a Debian folder and unpacks qemu, a kernel and
// chrony into it (package archive, about two minutes); nothing but debootstrap and iproute2 is installed on the machine, and
// the machine's clock cannot be touched. The last line is `N passed, N failed`; any failure makes the exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

type options struct {
	bin, project, extra string
	match               *regexp.Regexp
	long, keep          bool
	duel                int
}

func main() {
	lab.Hook()
	var o options
	var pattern string
	flag.StringVar(&o.bin, "bin", "bin", "directory with ntp-daemon, nts-pool-ke and ntp-ctl")
	flag.StringVar(&o.project, "project", ".", "directory with examples and test-keys")
	flag.StringVar(&o.extra, "extra", "", "directory with further files for the guest's file system, say another daemon as bin/ntp-daemon")
	flag.StringVar(&pattern, "run", "", "run only the scenarios whose name matches this regular expression")
	flag.BoolVar(&o.long, "long", false, "run long scenarios in full")
	flag.BoolVar(&o.keep, "keep", false, "keep logs of green scenarios too")
	flag.IntVar(&o.duel, "duel", 0, "let ours and chrony steer so many machines each, in turns, and compare")
	flag.Parse()
	var err error
	if o.match, err = regexp.Compile(pattern); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func run(ctx context.Context, o options) (failed int, err error) {
	if os.Getuid() != 0 {
		return 0, fmt.Errorf("needs root to make network namespaces and tap devices")
	}
	if err := lab.NeedTools(say, "ip"); err != nil {
		return 0, err
	}
	if o.duel > 0 {
		return 0, duel(ctx, o)
	}
	var chosen []scenario
	for _, s := range scenarios(o.long) {
		if o.match.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no scenario matches %q", o.match)
	}
	dir, err := os.MkdirTemp("", "vm-")
	if err != nil {
		return 0, err
	}
	img, err := build(dir, o)
	if err != nil {
		return 0, err
	}
	for _, s := range chosen {
		begin := time.Now()
		logs := filepath.Join(dir, s.name)
		evidence, err := s.play(ctx, img, logs)
		word := "ok"
		if err != nil {
			failed++
			word, evidence = "RED", err.Error()+" ["+logs+"]"
		}
		fmt.Printf("%-4s  %-10s  %4.0fs  %s\n", word, s.name, time.Since(begin).Seconds(), evidence)
	}
	if failed == 0 && !o.keep {
		if err := os.RemoveAll(dir); err != nil {
			return failed, err
		}
	} else {
		say("consoles and logs are in %s", dir)
	}
	fmt.Printf("%d passed, %d failed\n", len(chosen)-failed, failed)
	return failed, nil
}
