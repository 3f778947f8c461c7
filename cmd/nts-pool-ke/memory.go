package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// How much garbage, in percent of what is in use, the pool gathers before it
// collects. A handshake leaves some 60 KiB behind. With few clients next to
// nothing is in use, and collecting it often would cost more than it frees;
// with many, their garbage would double what they hold.
const (
	collectFew  = 200
	collectMany = 50
	manyClients = 1500 // connected at once
)

// tendMemory chooses how memory is collected by how many clients are connected,
// until ctx ends, unless the environment chooses.
func tendMemory(ctx context.Context, connected func() int) {
	if os.Getenv("GOGC") != "" {
		return
	}
	now := 0
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		wanted := collectFew
		if connected() >= manyClients {
			wanted = collectMany
		}
		if wanted != now {
			debug.SetGCPercent(wanted)
			now = wanted
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
