//go:build !linux

package main

import (
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

// checkFiles says that it does not look: the daemon, which knows how, runs on
// Linux only.
func checkFiles(c *config.Config, _ time.Time) ([]config.Warning, config.Problems) {
	if len(c.Paths()) == 0 {
		return nil, nil
	}
	return []config.Warning{{Pos: c.Pos, Info: true, Text: "the files that it names are looked into on Linux only"}}, nil
}
