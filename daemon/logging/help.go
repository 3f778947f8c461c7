package logging

import (
	"context"
	"log/slog"
)

// Guide is where messages are explained, each under its code.
const Guide = "https://github.com/ntpd-go/ntpd-go/blob/main/docs/troubleshooting.md#"

// helpful is a handler that adds to each line of WARN and above that has a
// code where it is explained.
type helpful struct{ slog.Handler }

func (h helpful) WithAttrs(a []slog.Attr) slog.Handler { return helpful{h.Handler.WithAttrs(a)} }

func (h helpful) WithGroup(name string) slog.Handler { return helpful{h.Handler.WithGroup(name)} }

func (h helpful) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		code := ""
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "code" {
				code = a.Value.String()
			}
			return code == ""
		})
		if code != "" {
			r = r.Clone()
			r.AddAttrs(slog.String("help", Guide+code))
		}
	}
	return h.Handler.Handle(ctx, r)
}
