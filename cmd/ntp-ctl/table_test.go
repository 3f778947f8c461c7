package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/golden"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is when the golden screens were seen.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// states are the documents in testdata/states, as a daemon would send them.
func states(t *testing.T) map[string]*observe.State {
	t.Helper()
	files, err := filepath.Glob("testdata/states/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d states, %v", len(files), err)
	}
	all := map[string]*observe.State{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := &observe.State{}
		if err := json.Unmarshal(data, s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".json")] = s
	}
	return all
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	golden.Compare(t, *update, filepath.Join("testdata/screens", name), got)
}

func TestGoldenScreens(t *testing.T) {
	for name, s := range states(t) {
		for _, sc := range []screen{{width: 80, unicode: true}, {width: 120, unicode: true}, {width: 50}} {
			var b bytes.Buffer
			if err := writeTable(&b, sc, observe.NewReport(s, at)); err != nil {
				t.Fatal(err)
			}
			compare(t, fmt.Sprintf("%s.%d.txt", name, sc.width), b.Bytes())
		}
	}
}

// Nothing is wider than the screen, whatever its width, and nothing is lost
// that says what is wrong.
func TestEveryLineFits(t *testing.T) {
	for name, s := range states(t) {
		for w := narrowest; w <= 200; w++ {
			for _, unicode := range []bool{true, false} {
				var b bytes.Buffer
				r := observe.NewReport(s, at)
				if err := writeTable(&b, screen{width: w, unicode: unicode}, r); err != nil {
					t.Fatal(err)
				}
				for l := range strings.Lines(b.String()) {
					if width(strings.TrimSuffix(l, "\n")) > w {
						t.Fatalf("%s at %d columns: %d wide: %s", name, w, width(l), l)
					}
				}
				flat := strings.Join(strings.Fields(b.String()), " ")
				for i := range r.Sources {
					if src := &r.Sources[i]; src.State == "waiting" && !strings.Contains(flat, strings.Fields(src.Why)[0]) {
						t.Fatalf("%s at %d columns: no %q:\n%s", name, w, src.Why, b.String())
					}
				}
			}
		}
	}
}

func TestASCIIScreensAreASCII(t *testing.T) {
	for name, s := range states(t) {
		var b bytes.Buffer
		if err := writeTable(&b, screen{width: 100}, observe.NewReport(s, at)); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Bytes() {
			if c >= 0x80 || c < 0x20 && c != '\n' {
				t.Fatalf("%s: %q", name, b.String())
			}
		}
	}
}

// Colours add and take away nothing else.
func TestColoursAreOnlyASecondChannel(t *testing.T) {
	for name, s := range states(t) {
		var plain, coloured bytes.Buffer
		r := observe.NewReport(s, at)
		if err := writeTable(&plain, screen{width: 100, unicode: true}, r); err != nil {
			t.Fatal(err)
		}
		if err := writeTable(&coloured, screen{width: 100, unicode: true, colour: true}, r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(coloured.String(), "\x1b[") {
			t.Errorf("%s: no colours", name)
		}
		// Trailing spaces may stand inside of a colour.
		stripped := trimLines(stripColours(coloured.String()))
		if stripped != plain.String() {
			t.Errorf("%s: without colours it is\n%s\ninstead of\n%s", name, stripped, plain.String())
		}
	}
}

func stripColours(s string) string {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			break
		}
		_, s, _ = strings.Cut(after, "m")
	}
	return b.String()
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestScreenFollowsTheEnvironment(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return func(name string) string { return m[name] }
	}
	auto := &screenFlags{colour: "auto"}
	for _, c := range []struct {
		name   string
		getenv func(string) string
		flags  *screenFlags
		want   screen
	}{
		{"nothing known", env(), auto, screen{width: 120, unicode: true}},
		{"UTF-8", env("LANG", "de_DE.UTF-8"), auto, screen{width: 120, unicode: true}},
		{"C locale", env("LANG", "C"), auto, screen{width: 120}},
		{"LC_ALL decides", env("LC_ALL", "C", "LANG", "de_DE.UTF-8"), auto, screen{width: 120}},
		{"C.utf8", env("LC_CTYPE", "C.utf8", "LANG", "C"), auto, screen{width: 120, unicode: true}},
		{"dumb", env("TERM", "dumb"), auto, screen{width: 120}},
		{"COLUMNS", env("COLUMNS", "77"), auto, screen{width: 77, unicode: true}},
		{"too narrow", env("COLUMNS", "3"), auto, screen{width: narrowest, unicode: true}},
		{"no number", env("COLUMNS", "wide"), auto, screen{width: 120, unicode: true}},
		{"--ascii", env("LANG", "de_DE.UTF-8"), &screenFlags{colour: "auto", ascii: true}, screen{width: 120}},
		{"--color=always", env("NO_COLOR", "1"), &screenFlags{colour: "always"}, screen{width: 120, unicode: true, colour: true}},
		{"--color=never", env(), &screenFlags{colour: "never"}, screen{width: 120, unicode: true}},
	} {
		if got := newScreen(&bytes.Buffer{}, c.getenv, c.flags); got != c.want {
			t.Errorf("%s: %+v instead of %+v", c.name, got, c.want)
		}
	}
}

func TestShortenAndWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "ab…efg"}, {"abcdefg", 5, "ab…fg"}, {"abcdefg", 3, "abc"}, {"ä…ö", 3, "ä…ö"}} {
		if got := shorten(c.in, c.w); got != c.want || width(got) > c.w {
			t.Errorf("shorten(%q, %d) = %q", c.in, c.w, got)
		}
	}
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{{"one two three", 7, "one two|three"}, {"abcdefghij kl", 4, "abcd|efgh|ij|kl"}, {"", 5, ""}, {"a  b\nc", 9, "a b c"}} {
		if got := strings.Join(wrap(c.in, c.w), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q", c.in, c.w, got)
		}
	}
}

func TestSparkline(t *testing.T) {
	nan := func() float64 { var z float64; return z / z }()
	for _, c := range []struct {
		in   []float64
		want string
	}{{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, "▁▂▃▄▅▆▇█"}, {[]float64{5, 5}, "▄▄"}, {[]float64{-1, nan, 1}, "▁ █"}, {nil, ""}} {
		if got := sparkline(c.in, 8); got != c.want {
			t.Errorf("%v: %q instead of %q", c.in, got, c.want)
		}
	}
	if got := sparkline([]float64{9, 9, 0, 1}, 2); got != "▁█" {
		t.Errorf("the latest values: %q", got)
	}
}

// The trail of a watch grows and is bounded; sources that come and go keep
// their line.
func TestTrail(t *testing.T) {
	var tr trail
	r := observe.NewReport(states(t)["healthy"], at)
	for range longestTrail + 5 {
		tr.add(r)
	}
	if n := len(tr.values["clock"]); n != longestTrail {
		t.Errorf("%d values", n)
	}
	var b bytes.Buffer
	tr.write(&b, screen{width: 80, unicode: true})
	if got := strings.Count(b.String(), "\n"); got != 2+1+len(r.Sources) {
		t.Errorf("%d lines:\n%s", got, b.String())
	}
	for l := range strings.Lines(b.String()) {
		if width(l) > 81 {
			t.Errorf("too wide: %s", l)
		}
	}
}
