package logging

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// What a stranger can have written to the log: Burst lines a message in each
// Window, and then one that counts the rest.
const (
	Burst  = 10
	Window = time.Minute
)

// Limited is a logger for what strangers can cause. Of every message it lets
// Burst lines through in a Window; when the window is over one line says how
// many more there were. Messages must be constants: each one that differs is
// counted by itself.
func (l *Log) Limited() *slog.Logger { return Limit(l.Logger) }

// Limit makes a limited logger of another.
func Limit(l *slog.Logger) *slog.Logger {
	return slog.New(&limited{next: l.Handler(), state: &limitState{messages: map[string]*window{}}})
}

// limited is the handler. Loggers derived with attributes share the counts.
type limited struct {
	next  slog.Handler
	state *limitState
}

type limitState struct {
	mu       sync.Mutex
	messages map[string]*window
}

// window counts one message.
type window struct {
	ends       time.Time
	let        int
	suppressed int
}

func (h *limited) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *limited) WithAttrs(a []slog.Attr) slog.Handler {
	return &limited{next: h.next.WithAttrs(a), state: h.state}
}

func (h *limited) WithGroup(name string) slog.Handler {
	return &limited{next: h.next.WithGroup(name), state: h.state}
}

func (h *limited) Handle(ctx context.Context, r slog.Record) error {
	if !h.state.admit(r, h.next) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// admit counts a line and reports whether it may pass.
func (s *limitState) admit(r slog.Record, next slog.Handler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.messages[r.Message]
	if w == nil || !r.Time.Before(w.ends) {
		// A window that suppressed something ends by its timer, which writes
		// the summary whether or not there is a next line.
		w = &window{ends: r.Time.Add(Window)}
		s.messages[r.Message] = w
	}
	if w.let < Burst {
		w.let++
		return true
	}
	w.suppressed++
	if w.suppressed == 1 {
		level, message := r.Level, r.Message
		time.AfterFunc(w.ends.Sub(r.Time), func() { s.summarise(w, level, message, next) })
	}
	return false
}

// summarise writes how many lines a window kept back.
func (s *limitState) summarise(w *window, level slog.Level, message string, next slog.Handler) {
	s.mu.Lock()
	n := w.suppressed
	s.mu.Unlock()
	r := slog.NewRecord(time.Now(), level, fmt.Sprintf("%s (and %d more like it in the last minute)", message, n), 0)
	_ = next.Handle(context.Background(), r) // a log that cannot be written has nowhere to say so
}
