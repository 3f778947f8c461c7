package main

import (
	"os"
	"runtime/debug"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

// collectAt is how much garbage, in percent of what is in use, a server of key
// exchanges gathers before it collects. A handshake leaves some 60 KiB behind
// and next to nothing is in use, so that with Go's 100 every fiftieth handshake
// paid for a collection: 3 % of all processor time. With 200 the busy server
// holds 19 MiB instead of 15, with 400 it would be 27 and no faster.
const collectAt = 200

// setMemory chooses how memory is collected, unless the environment does.
// Nothing of it concerns packets, which are answered without allocating.
func setMemory(cfg *config.Config) {
	if os.Getenv("GOGC") == "" && len(cfg.NTSKEServers) > 0 {
		debug.SetGCPercent(collectAt)
	}
}
