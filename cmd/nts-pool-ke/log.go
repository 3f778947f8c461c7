package main

import (
	"fmt"
	"io"
	"log/slog"
)

// loggers are the two that a pool has.
type loggers struct {
	log     *slog.Logger // what the operator must know
	strange *slog.Logger // what a stranger can cause
}

func newLoggers(w io.Writer, name string) (loggers, error) {
	levels := map[string]slog.Level{
		"trace": slog.LevelDebug - 4, "debug": slog.LevelDebug, "info": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[name]
	if !ok {
		return loggers{}, fmt.Errorf("unknown log level %q; it is trace, debug, info, warn or error", name)
	}
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	return loggers{log: log, strange: log}, nil
}
