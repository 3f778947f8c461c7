package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// watchFiles calls changed whenever the files that the configuration came from
// are no longer what they were when it was read, and then stayed the same for
// one look: whoever writes several of them is given the time to finish. It does
// not call it twice for the same files.
func watchFiles(ctx context.Context, every time.Duration, current func() *settings, changed func()) {
	if every <= 0 {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var seen, tried string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s := current()
		now := fingerprint(s.files)
		if now != s.print && now != tried && now == seen {
			tried = now
			changed()
		}
		seen = now
	}
}

// fingerprint is what files look like from outside: which there are, how long
// they are and when they were written. Where a link leads counts, because
// that is how whole sets of files are exchanged at once.
func fingerprint(files []string) string {
	var text strings.Builder
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(&text, "%s: %v\n", name, err)
			continue
		}
		target, _ := filepath.EvalSymlinks(name)
		fmt.Fprintf(&text, "%s %s %d %d\n", name, target, info.Size(), info.ModTime().UnixNano())
	}
	return text.String()
}

// writtenSince reports whether one of the files was written after a time.
func writtenSince(files []string, t time.Time) bool {
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || !info.ModTime().Before(t) {
			return true
		}
	}
	return false
}
