package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A warning says where it is explained, whatever has been added to its logger;
// news does not.
func TestWarningsAreLinked(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(helpful{slog.NewTextHandler(&b, nil)})
	log.Info("news", "code", "a")
	log.Warn("no code")
	log.Warn("trouble", "code", "clock-jumped", "by", 1)
	log.With("x", 1).WithGroup("g").Error("fault", "code", "clock-step")
	Limit(log).Warn("limited", "code", "kiss-rate")
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{"", "", "help=" + Guide + "clock-jumped", "help=" + Guide + "clock-step", "help=" + Guide + "kiss-rate"} {
		if strings.Contains(lines[i], "help=") != (want != "") || !strings.HasSuffix(lines[i], want) {
			t.Errorf("%s\nwant %q", lines[i], want)
		}
	}
}
