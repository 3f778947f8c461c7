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
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func main() {
	lab.Hook()
	if len(os.Args) == 3 && (os.Args[1] == storeForEver || os.Args[1] == storeCareless) {
		fmt.Fprintln(os.Stderr, store(os.Args[1], os.Args[2]))
		os.Exit(1)
	}
	flags := flag.NewFlagSet("attack", flag.ExitOnError)
	p0 := flags.Bool("p0", false, "only the rows that run for every change")
	file := flags.String("write", "", "write the table into this file")
	suite := scene.Suite{
		Name: "attack", Rows: rows(),
		Chosen: func(r scene.Row) bool { return r.P0 || !*p0 },
		Report: func(results []scene.Result, summary string) error {
			if *file == "" {
				return nil
			}
			return os.WriteFile(*file, []byte(document(results, summary)), 0o644)
		},
	}
	os.Exit(suite.Main(flags, os.Args[1:]))
}

// rows are all rows.
func rows() []scene.Row {
	return slices.Concat(serverRows, protectedRows, clientRows, implausibleRows, kissRows, exchangeRows, hostileRows, localRows, limitRows, floodRows, storeRows, outageRows,
		timeRows, votingRows, accessRows, besideRows, networkRows, nameRows, poolRows, provedRows, suiteRows, sandboxRows, busyRows, keyFileRows)
}
