package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

// collectAt is how much garbage, in percent of what is in use, a server of key
// exchanges gathers before it collects. A handshake leaves some 60 KiB behind
// and next to nothing is in use, so that with Go's 100 every fiftieth handshake
// paid for a collection: 3 % of all processor time. With 200 the busy server
// holds 19 MiB instead of 15, with 400 it would be 27 and no faster.
const collectAt = 200

// collectSeldom chooses how memory is collected where key exchanges are served,
// unless the environment does. Nothing of it concerns packets, which are
// answered without allocating.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
}

// setProcessors returns how many workers an address of the NTP server is worth,
// and makes room for one thread more to run Go code, unless the environment says
// how many. A worker waits in the kernel. When as many wait as may run, Go's
// monitor looks at them every 20 µs, to give their places to others: a third of
// the processor time of a server of 20,000 requests a second. With a place to
// spare it lets them wait.
func setProcessors(cfg *config.Config) (workers int) {
	workers = runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" && len(cfg.Servers) > 0 {
		runtime.GOMAXPROCS(workers + 1)
	}
	return workers
}
