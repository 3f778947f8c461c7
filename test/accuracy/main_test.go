package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

func TestSeeds(t *testing.T) {
	for _, tt := range []struct {
		in          string
		first, last uint64
		ok          bool
	}{
		{"601-640", 601, 640, true}, {"7", 7, 7, true}, {"0-0", 0, 0, true},
		{"640-601", 0, 0, false}, {"", 0, 0, false}, {"a-b", 0, 0, false}, {"1-", 0, 0, false}, {"-5", 0, 0, false}, {"0-99999999999", 0, 0, false},
	} {
		first, last, err := seeds(tt.in)
		if (err == nil) != tt.ok || (tt.ok && (first != tt.first || last != tt.last)) {
			t.Errorf("%q: %d to %d, %v", tt.in, first, last, err)
		}
	}
}

// The last line compares the scenarios with the same poll schedule, and no
// others.
func TestVerdict(t *testing.T) {
	row := func(name string, rms, chrony, bound float64) sim.Summary {
		return sim.Summary{Scenario: &sim.Scenario{Name: name, Reference: &sim.Figures{Chrony: chrony, Bound: bound}}, RMS: sim.Figure{Mean: rms * 1e-6}}
	}
	got := lastLine([]sim.Summary{
		row("fix1", 5, 10, 4), row("fix2", 6, 10, 0), row("fix3", 8, 10, 8), row("fix4", 4, 10, 2), row("other", 100, 10, 1),
		{Scenario: &sim.Scenario{Name: "fix5"}, RMS: sim.Figure{Mean: 1}},
	})
	if want := "accuracy: median 0.55 worst 0.80 bound 2.00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := lastLine(nil), "accuracy: median - worst - bound -"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if lines := verdicts(nil); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

// Where there are figures of the candidate, and of chrony's own schedule, they
// are compared too.
func TestVerdictsOfOtherFigures(t *testing.T) {
	row := func(name string, rms, polls float64, f sim.Figures) sim.Summary {
		return sim.Summary{Scenario: &sim.Scenario{Name: name, Reference: &f}, RMS: sim.Figure{Mean: rms * 1e-6}, Polls: sim.Figure{Mean: polls}}
	}
	got := verdicts([]sim.Summary{
		row("a", 2, 0, sim.Figures{Candidate: 1}), row("b", 1, 0, sim.Figures{Candidate: 2}), row("c", 4, 0, sim.Figures{Candidate: 4}),
		row("lan", 4, 11, sim.Figures{Chrony: 10, Polls: 10}), row("inet", 6, 3, sim.Figures{Chrony: 10, Polls: 4}), row("fix", 7, 54, sim.Figures{Chrony: 10, Polls: 5, Bound: 5}),
	})
	want := []string{
		"candidate: geometric mean 1.00 of 3 rows, worst 2.00 (a)",
		"own polls: median 0.50 worst 0.60, packets at most 1.10 of chrony's",
		"accuracy: median 0.70 worst 0.70 bound 1.40",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Files of others get the figures of the same world, whatever it is called
// there being equal, and not those of another world of the same name.
func TestFiguresOfTheSameWorld(t *testing.T) {
	t.Chdir("../..")
	ours, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "theirs.json")
	text := strings.ReplaceAll(string(ours), `"reference"`, `"_reference"`)
	text = strings.Replace(text, `"lan": {"duration": 40000`, `"lan": {"duration": 40001`, 1)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := load(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if has := s.Reference != nil; has == (s.Name == "lan") {
			t.Errorf("%s: has figures: %v", s.Name, has)
		}
	}
	if len(all) != 18 {
		t.Errorf("%d scenarios", len(all))
	}
}

// A run writes its table and pictures.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	world := filepath.Join(dir, "w.json")
	text := `{"scenarios": {"short": {"duration": 200, "stats_from": 50, "poll": null, "clock": {"offset": 0.01, "freq": 1e-5, "wander": 1e-9},
		"servers": [{"up": {"base": 0.001, "jitter": {"dist": "exponential", "scale": 1e-4}}, "down": {"base": 0.001, "jitter": {"dist": "normal", "scale": 1e-4}}}]}}}`
	if err := os.WriteFile(world, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := run([]string{"-out", out, "-seeds", "1-2", world}); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(out, "w.md"))
	if err != nil || !strings.Contains(string(table), "| `short` |") {
		t.Errorf("%v, %s", err, table)
	}
	for _, f := range []string{"w.svg", "w/short.svg", "wedge.svg", "shapes.svg"} {
		if b, err := os.ReadFile(filepath.Join(out, f)); err != nil || !strings.Contains(string(b), "<svg") {
			t.Errorf("%s: %v", f, err)
		}
	}
	if err := run([]string{"-only", "nothing", world}); err == nil {
		t.Error("a run of nothing is no error")
	}
}
