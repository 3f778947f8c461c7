package logging

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// UnderJournal reports whether standard output goes to the journal, from the
// value of the variable JOURNAL_STREAM: "The device and inode numbers are
// formatted in decimal, separated by a colon ... the service process should
// compare the decoded device and inode numbers of the journal stream connected
// to the service's standard output or standard error" (systemd.exec(5)). A
// process that was started from a service and writes elsewhere inherits the
// variable too.
func UnderJournal(journalStream string) bool { return isStream(os.Stdout, journalStream) }

// journal writes each line with the priority that the journal reads off its
// start (sd-daemon(3)), and without a timestamp, which the journal has.
type journal [4]slog.Handler

func newJournal(w io.Writer, level slog.Level) journal {
	var j journal
	for i, prefix := range []string{"<7>", "<6>", "<4>", "<3>"} {
		j[i] = slog.NewTextHandler(prefixed{w, prefix}, &slog.HandlerOptions{Level: level, ReplaceAttr: untimed})
	}
	return j
}

// untimed takes the time and the level away, which the journal has.
func untimed(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// of is the handler for a level.
func (j journal) of(level slog.Level) slog.Handler {
	switch {
	case level < slog.LevelInfo:
		return j[0]
	case level < slog.LevelWarn:
		return j[1]
	case level < slog.LevelError:
		return j[2]
	default:
		return j[3]
	}
}

func (j journal) Enabled(ctx context.Context, l slog.Level) bool { return j.of(l).Enabled(ctx, l) }

func (j journal) Handle(ctx context.Context, r slog.Record) error {
	return j.of(r.Level).Handle(ctx, r)
}

func (j journal) WithAttrs(a []slog.Attr) slog.Handler {
	for i := range j {
		j[i] = j[i].WithAttrs(a)
	}
	return j
}

func (j journal) WithGroup(name string) slog.Handler {
	for i := range j {
		j[i] = j[i].WithGroup(name)
	}
	return j
}

// prefixed writes a prefix before each line, in one call.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
