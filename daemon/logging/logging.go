// Package logging sets up the log of a command: readable on a terminal,
// without timestamps where the journal adds its own, in a file that is
// appended to and can be rotated, and with a limit on what strangers can
// cause.
package logging

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// LevelTrace is below debug, for what only a developer wants.
const LevelTrace = slog.LevelDebug - 4

// ParseLevel reads a level's name: trace, debug, info, warn or error.
func ParseLevel(name string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"trace": LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[strings.ToLower(name)]
	if !ok {
		return 0, fmt.Errorf("unknown log level %q: use trace, debug, info, warn or error", name)
	}
	return level, nil
}

// Options say where and how to log.
type Options struct {
	Level   slog.Level
	Path    string   // file to append to; empty for Output
	Colours *bool    // nil: on a terminal
	Output  *os.File // nil: standard output
	Journal bool     // Output goes to the journal, which has timestamps and levels of its own
}

// Log is an open log.
type Log struct {
	*slog.Logger
	sink *sink
}

// Open opens the log. The error names the file and what to do.
func Open(o Options) (*Log, error) {
	s := &sink{w: o.Output}
	if o.Output == nil {
		s.w = os.Stdout
	}
	terminal := o.Path == "" && term.IsTerminal(int(s.w.Fd()))
	if o.Path != "" {
		path, err := filepath.Abs(o.Path)
		if err != nil {
			return nil, fmt.Errorf("log file %s: %w", o.Path, err)
		}
		s.w, s.path = nil, path
		if err := s.reopen(); err != nil {
			return nil, err
		}
	}
	return &Log{Logger: slog.New(helpful{handler(s, o, terminal)}), sink: s}, nil
}

// handler picks the format.
func handler(w io.Writer, o Options, terminal bool) slog.Handler {
	colours := terminal
	if o.Colours != nil {
		colours = *o.Colours
	}
	if colours || terminal {
		return tint.NewTextHandler(w, &tint.Options{Level: o.Level, TimeFormat: time.TimeOnly, NoColor: !colours, ReplaceAttr: nameTrace})
	}
	if o.Journal && o.Path == "" {
		return newJournal(w, o.Level)
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: nameTrace})
}

// nameTrace gives the trace level its name.
func nameTrace(groups []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && a.Key == slog.LevelKey && level == LevelTrace && len(groups) == 0 {
		return slog.String(slog.LevelKey, "TRACE")
	}
	return a
}

// Reopen opens the log file anew, after it was renamed. On an error the old
// file stays in use. Without a file it does nothing.
func (l *Log) Reopen() error { return l.sink.reopen() }

// Close closes the log file.
func (l *Log) Close() error {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if l.sink.path == "" || l.sink.w == nil {
		return nil
	}
	return l.sink.w.Close()
}

// sink is a file that can be opened anew while it is written to.
type sink struct {
	mu   sync.Mutex
	w    *os.File
	path string // absolute; empty for a stream
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

func (s *sink) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return nil
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = p.Err
		}
		return fmt.Errorf("log file %s: %w (make its directory writable, or choose another log-path)", s.path, err)
	}
	old := s.w
	s.w = f
	if old != nil {
		return old.Close()
	}
	return nil
}
