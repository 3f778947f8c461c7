package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// A quiet day: one line when the clock is synchronised, and one an hour.
func TestOneSummaryAnHour(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	at := func(d time.Duration) proto.Now { return proto.Now{Mono: proto.Instant(time.Hour + d)} }
	offset := 1.2e-5
	r := &observe.Report{Headline: "Synchronised: 3 sources agree.", Clock: observe.ClockReport{Stratum: 2, Offset: &offset, Frequency: &offset}, Servers: []observe.ServerReport{{}}}
	d := newDiary(log, at(0), func() *observe.Report { return r })
	for s := range 24 * 3600 {
		d.look(&engine.Status{Synchronised: s >= 6}, at(time.Duration(s)*time.Second))
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 1+23 {
		t.Errorf("%d lines:\n%s", len(lines), b.String())
	}
	if !strings.Contains(lines[0], `msg="synchronised after 6.00 s: 3 sources agree" code=synchronised`) {
		t.Errorf("first: %s", lines[0])
	}
	if want := `msg="synchronised: 3 sources agree" code=summary stratum=2 offset="+12.0 µs" frequency="+12.000 ppm" requests=0`; !strings.Contains(lines[1], want) {
		t.Errorf("summary: %s", lines[1])
	}
}

// A clock that comes and goes is said to, but not without end.
func TestChangesAreRateLimited(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	r := &observe.Report{Headline: "Not synchronised: the only source cannot be used."}
	d := newDiary(log, proto.Now{}, func() *observe.Report { return r })
	for s := range 600 {
		d.look(&engine.Status{Synchronised: s%2 == 0}, proto.Now{Mono: proto.Instant(time.Duration(s) * time.Second)})
	}
	if n := strings.Count(b.String(), "\n"); n < 2 || n > 10 {
		t.Errorf("%d lines in ten minutes:\n%s", n, b.String())
	}
	if !strings.Contains(b.String(), `level=WARN msg="not synchronised: the only source cannot be used" code=unsynchronised`) {
		t.Errorf("no warning with its help:\n%s", b.String())
	}
}

var codes = regexp.MustCompile(`(?:Code: |"code", |reportFailure\(\w+, |\.useless\(\w+, \w+, )"([a-z-]+)"`)

// logging are the folders whose code writes to a log.
var logging = []string{".", "apart", "control", "serve", "../cmd/ntp-daemon", "../cmd/ntp-metrics-exporter", "../cmd/nts-pool-ke", "../nts/pool"}

var warning = regexp.MustCompile(`(?m)(?:[lL]og|[sS]trange|logger)\.(?:Warn|Error)\((?:.*,\n)?.*$`)

// sources are the files of a folder that are no tests.
func sources(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = string(source)
	}
	return all
}

// Every line of WARN and above has a code, by which it is explained.
func TestEveryWarningHasACode(t *testing.T) {
	n := 0
	for _, dir := range logging {
		for f, source := range sources(t, dir) {
			for _, call := range warning.FindAllString(source, -1) {
				if n++; !strings.Contains(call, `"code", `) {
					t.Errorf("%s: no code: %s", f, call)
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("%d warnings found", n)
	}
}

// Every code that stands in the log has its heading, and every heading stands
// for one.
func TestEveryMessageIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, messages, _ := strings.Cut(string(text), "\n## Messages\n")
	explained := map[string]bool{}
	for l := range strings.Lines(messages) {
		if title, ok := strings.CutPrefix(l, "### "); ok {
			explained[strings.TrimSpace(title)] = false
		}
	}
	for _, dir := range append(logging, "../proto/engine", "../proto/kalman") {
		for f, source := range sources(t, dir) {
			for _, m := range codes.FindAllStringSubmatch(source, -1) {
				if _, ok := explained[m[1]]; !ok {
					t.Errorf("%s: docs/troubleshooting.md does not explain %s", f, m[1])
				}
				explained[m[1]] = true
			}
		}
	}
	for code, used := range explained {
		if !used {
			t.Errorf("docs/troubleshooting.md explains %s, which nothing writes", code)
		}
	}
}
