package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// What the demonstration promises.
const (
	goal       = time.Millisecond // how near the client's time must come
	inARow     = 3                // measurements in a row that must be that near
	askEvery   = time.Second
	showEvery  = 4 * time.Second
	clockError = "250ms"
	clockDrift = "30" // ppm
)

// run starts everything, watches the client and returns its last offset.
func run(ctx context.Context, out io.Writer, bin string, withPool bool) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "ntpd-go-demo-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	set, err := prepare(ctx, dir)
	if err != nil {
		return 0, err
	}
	out = &terminal{out: out}
	all := &processes{bin: bin, dir: dir, out: out}
	defer all.stop()
	for i := range set.servers {
		if err := all.start(ctx, fmt.Sprintf("server %d", i+1), "ntp-daemon", "-c", set.servers[i]); err != nil {
			return 0, err
		}
	}
	if withPool {
		if err := all.start(ctx, "pool", "nts-pool-ke", "-c", set.pool); err != nil {
			return 0, err
		}
	}
	if err := waitListening(ctx, set.keyExchanges(withPool)...); err != nil {
		return 0, err
	}
	err = all.start(ctx, "client", "ntp-daemon", "-c", set.client,
		"--no-clock", "--software-clock-offset", clockError, "--software-clock-drift", clockDrift)
	if err != nil {
		return 0, err
	}
	return watch(ctx, out, all, set)
}

// watch asks the client's NTP server until it is right, and shows its status
// meanwhile.
func watch(ctx context.Context, out io.Writer, all *processes, set *setup) (time.Duration, error) {
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	var shown time.Time
	good, last := 0, "it never answered with a time"
	for {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the client's NTP server was asked: %s", last)
		case err := <-all.ended:
			return 0, err
		case <-ask.C:
		}
		offset, err := measure(set.clientNTP)
		switch {
		case err != nil:
			good, last = 0, err.Error()
		case offset.Abs() <= goal:
			good++
		default:
			good, last = 0, fmt.Sprintf("it is %v off", offset.Round(time.Microsecond))
		}
		if err == nil {
			fmt.Fprintf(out, "asked from outside: client is %+.3f ms off\n", float64(offset)/float64(time.Millisecond))
		}
		if good == inARow || time.Since(shown) >= showEvery {
			shown = time.Now()
			all.show(ctx, set.client)
		}
		if good == inARow {
			return offset, nil
		}
	}
}

// file writes one file of the demonstration and returns its path.
func file(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
