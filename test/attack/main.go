// Command attack makes the attacks that time daemons have suffered, against this suite's daemons: one row for each, in
// hosts of their own, with forged packets, servers that lie and clients that dawdle. Every row first shows that the
// exchange works without the attack.
//
//	go run ./test/attack                  all rows
//	go run ./test/attack -p0              those that run for every change
//	go run ./test/attack -run 'T0.'       those whose identifier matches
//	go run ./test/attack -write FILE      and write the table down
//
// It needs Linux, root and the commands in bin/; it cannot touch the machine's clock. A row that cannot run here is
// skipped and says why. The last line is `N passed, N failed, N skipped`; a failed row makes the exit code 1.
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
	p0 := flag.Bool("p0", false, "only the rows that run for every change")
	pattern := flag.String("run", "", "only rows whose identifier matches this regular expression")
	parallel := flag.Int("j", 4, "rows that run at the same time")
	keep := flag.Bool("keep", false, "keep the logs and files of the rows")
	file := flag.String("write", "", "write the table into this file")
	flag.Parse()
	match, err := regexp.Compile("^(" + *pattern + ")")
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, *bin, *parallel, *keep, *file, func(r scene.Row) bool {
		return (r.P0 || !*p0) && match.MatchString(r.ID)
	})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, parallel int, keep bool, file string, chosen func(scene.Row) bool) (int, error) {
	s, err := scene.Open(bin, "attack")
	if err != nil {
		return 0, err
	}
	all := rows()
	all = slices.DeleteFunc(all, func(r scene.Row) bool { return !chosen(r) })
	if len(all) == 0 {
		return 0, fmt.Errorf("no row matches")
	}
	results := s.Run(ctx, all, parallel)
	line, failed := scene.Summary(results)
	if file != "" {
		if err := os.WriteFile(file, []byte(document(results, line)), 0o644); err != nil {
			return failed, err
		}
	}
	if keep || failed > 0 {
		fmt.Println("logs and files of the rows are in", s.Dir)
	} else if err := s.Close(); err != nil {
		return failed, err
	}
	fmt.Println(line)
	return failed, nil
}

// rows are all rows, in the order of their identifiers.
func rows() []scene.Row {
	all := slices.Concat(serverRows, protectedRows, clientRows, kissRows, exchangeRows, hostileRows, localRows, storeRows,
		timeRows, networkRows, poolRows, provedRows)
	slices.SortFunc(all, func(a, b scene.Row) int { return strings.Compare(a.ID, b.ID) })
	return all
}
