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
	"flag"
	"os"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func main() {
	lab.Hook()
	suite := scene.Suite{Name: "faults", Rows: slices.Concat(networkRows, serverRows, machineRows, crowdRows, provedRows)}
	os.Exit(suite.Main(flag.NewFlagSet("faults", flag.ExitOnError), os.Args[1:]))
}

// provedRows need virtual hours or a clock of their own: tests of the packages and the simulator are these rows.
var provedRows = []scene.Row{
	scene.Proved("X06", false, "the clock stepped by another hand, while asking and between two readings",
		"proto/kalman TestForeignStep TestUnannouncedStepIsNoticed TestClockThatDoesSomethingElse", "proto/client TestClockMovedInFlight", "clock TestWatchNoticesAForeignStep TestForeignSteeringChangesNothing"),
	scene.Proved("X10", false, "a boot in 1970 or with certificates that are not valid yet",
		"proto/engine TestBoundedColdStart TestStrictColdStart TestAColdStartIsVerifiedAtTheAgreedTime", "nts/ke TestProvisionalCertificates"),
	{ID: "X18", Alone: true, Limit: 8 * time.Minute, What: "faults at random, three minutes of them (`make soak` takes an hour)", Prove: scene.Soak},
}
