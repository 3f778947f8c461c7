package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// How often things happen to a server that is soaked.
const (
	soakTurn   = 5 * time.Second // of one load; between two of them the configuration is read anew
	soakWarmUp = 30 * time.Second
	// soakGrowth is how much more memory the server may hold in the end than when
	// it had warmed up.
	soakGrowth = 1.25
)

// soakConfig is ourConfig with new cookie keys every ten seconds.
func soakConfig() (string, error) {
	text, err := os.ReadFile(ourConfig)
	if err != nil {
		return "", err
	}
	rotated := strings.Replace(string(text), "key-rotation-interval = 86400", "key-rotation-interval = 10", 1)
	if rotated == string(text) {
		return "", fmt.Errorf("%s: no key-rotation-interval of a day to shorten", ourConfig)
	}
	return rotated, nil
}

// soak loads our server for a long time, while its keys rotate, its
// configuration is read anew and its status is read: no answer may be wrong, and
// nothing may grow.
func soak(o *order) error {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := soakConfig()
	if err != nil {
		return err
	}
	changed := filepath.Join(dir, "soak.toml")
	if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
		return err
	}
	o.config = changed
	c, err := start(o, "ours", filepath.Join(dir, "ours"))
	if err != nil {
		return err
	}
	defer c.host.Close()
	stop := make(chan struct{})
	defer close(stop)
	scrapes := make(chan error, 1)
	go scrape(filepath.Join(c.host.Dir, "observe"), stop, scrapes)

	turns, err := pick("plain,many,nts,nts8,ke")
	if err != nil {
		return err
	}
	o.duration = soakTurn
	pid := c.processes[0].Pid()
	var sum tally
	var before lab.Usage
	began := time.Now()
	for turn := 0; time.Since(began) < o.soak; turn++ {
		s := &turns[turn%len(turns)]
		r, err := c.ask(o, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		sum.Answered += r.Answered
		sum.Lost += r.Lost
		if err := c.processes[0].Signal(syscall.SIGHUP); err != nil {
			return err
		}
		now, err := lab.UsageOf(pid)
		if err != nil {
			return err
		}
		say("%v: %-5s %v; %v", time.Since(began).Round(time.Second), s.name, r, shown(now))
		if before == (lab.Usage{}) && time.Since(began) > soakWarmUp {
			before = now
		}
		select {
		case err := <-scrapes:
			return err
		default:
		}
	}
	after, err := lab.UsageOf(pid)
	if err != nil {
		return err
	}
	fmt.Printf("soak: %d answers, %d lost, 0 wrong; %v, then %v\n", sum.Answered, sum.Lost, shown(before), shown(after))
	if float64(after.Memory) > soakGrowth*float64(before.Memory) || after.Descriptors > before.Descriptors+8 || after.Threads > before.Threads+4 {
		return errors.New("the server grew")
	}
	return nil
}

func shown(u lab.Usage) string {
	return fmt.Sprintf("%.1f MiB, %d files, %d threads", float64(u.Memory)/(1<<20), u.Descriptors, u.Threads)
}

// scrape reads the status once a second.
func scrape(socket string, stop <-chan struct{}, failed chan<- error) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-stop:
			return
		case <-every.C:
		}
		if _, err := lab.Observe(socket); err != nil {
			failed <- fmt.Errorf("the status could not be read: %w", err)
			return
		}
	}
}
