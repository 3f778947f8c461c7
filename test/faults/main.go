// Command faults lets the real daemons meet what goes wrong by itself: networks that lose and mangle, servers and key
// exchanges that vanish and return, certificates that expire, disks that fill, descriptors that run out. Every row first
// shows that all is well without the fault, and that it is again afterwards.
//
//	go run ./test/faults             all rows
//	go run ./test/faults -run 'X0'   those whose identifier matches
//
// It needs Linux, root and the commands in bin/; it cannot touch the machine's clock. The last line is `N passed, N
// failed, N skipped`; a failed row makes the exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func main() {
	lab.Hook()
	bin := flag.String("bin", "bin", "directory with the commands")
	pattern := flag.String("run", "", "only rows whose identifier matches this regular expression")
	parallel := flag.Int("j", 4, "rows that run at the same time")
	keep := flag.Bool("keep", false, "keep the logs and files of the rows")
	flag.Parse()
	match, err := regexp.Compile("^(" + *pattern + ")")
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, *bin, match, *parallel, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, match *regexp.Regexp, parallel int, keep bool) (int, error) {
	s, err := scene.Open(bin, "faults")
	if err != nil {
		return 0, err
	}
	rows := slices.Concat(networkRows, serverRows, machineRows, crowdRows, provedRows)
	rows = slices.DeleteFunc(rows, func(r scene.Row) bool { return !match.MatchString(r.ID) })
	if len(rows) == 0 {
		return 0, fmt.Errorf("no row matches %q", match)
	}
	slices.SortFunc(rows, func(a, b scene.Row) int { return strings.Compare(a.ID, b.ID) })
	results := s.Run(ctx, rows, parallel)
	line, failed := scene.Summary(results)
	if keep || failed > 0 {
		fmt.Println("logs and files of the rows are in", s.Dir)
	} else if err := s.Close(); err != nil {
		return failed, err
	}
	fmt.Println(line)
	return failed, nil
}

// provedRows need virtual hours or a clock of their own: tests of the packages and the simulator are these rows.
var provedRows = []scene.Row{
	scene.Proved("X06", false, "the clock stepped by another hand, while asking and between two readings",
		"proto/kalman TestForeignStep TestUnannouncedStepIsNoticed TestClockThatDoesSomethingElse", "proto/client TestClockMovedInFlight", "clock TestWatchNoticesAForeignStep TestForeignSteeringChangesNothing"),
	scene.Proved("X10", false, "a boot in 1970 or with certificates that are not valid yet",
		"proto/engine TestBoundedColdStart TestStrictColdStart TestAColdStartIsVerifiedAtTheAgreedTime", "nts/ke TestProvisionalCertificates"),
	scene.Later("X18", "hours of mixed faults", "`make soak` is this row"),
}
