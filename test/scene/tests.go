package scene

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Proved is a row of tests of the packages: each text is a package and the names of tests in it. It passes when all of
// them have run and passed.
func Proved(id string, p0 bool, what string, tests ...string) Row {
	return Row{ID: id, P0: p0, What: what, Limit: 6 * time.Minute, Prove: func(t *Trial) {
		t.controls++ // what is undisturbed is the affair of the tests: the row runs nothing itself
		t.prove("", tests)
	}}
}

// Also is the row with tests of the packages behind it, written as for Proved, that show what cannot be played: virtual
// days, clocks of the tests' own. It passes when the row and all of them have passed.
func (r Row) Also(tests ...string) Row {
	play := r.Prove
	r.Limit = max(r.Limit, 6*time.Minute)
	r.Prove = func(t *Trial) {
		play(t)
		t.prove("besides, ", tests)
	}
	return r
}

func (t *Trial) prove(link string, tests []string) {
	var all []string
	for _, text := range tests {
		names := strings.Fields(text)
		t.RunTests(names[0], names[1:]...)
		all = append(all, names[1:]...)
	}
	t.Saw("%s%d tests ran: %s", link, len(all), strings.Join(all, ", "))
}

// Later is a row that cannot run here, and why.
func Later(id, what, why string) Row {
	return Row{ID: id, What: what, Prove: func(t *Trial) { t.Skip("%s", why) }}
}

// Suite runs another suite of the module, and returns what it said. The error of one that fails has its last words.
func (t *Trial) Suite(args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context, args[0], args[1:]...)
	cmd.Dir = t.Root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has hosts of its own to bring down
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, text[max(0, len(text)-600):])
	}
	return text, err
}

// LastLine is the last line of a text that is not empty.
func LastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

var soaked = regexp.MustCompile(`SOAK +passed[^:]*: control: ([^;]*); (.*)`)

// Soak proves a row by three minutes of the soak, whose seed is new each time.
func Soak(t *Trial) {
	seed := fmt.Sprint(Random(1)[0])
	out, err := t.Suite("go", "run", "./test/soak", "-bin", t.Bin, "-duration", "3m", "-seed", seed)
	t.Check(err)
	said := soaked.FindStringSubmatch(out)
	if said == nil {
		t.Fatal("the soak says nothing: %s", out)
	}
	t.Control("%s", said[1])
	t.Saw("seed %s: %s", seed, said[2])
}

// RunTests runs tests of a package by name and wants all of them to pass.
func (t *Trial) RunTests(pkg string, names ...string) { t.Check(t.runTests(pkg, names)) }

// runTests runs tests of a package by name and wants all of them to pass.
func (t *Trial) runTests(pkg string, names []string) error {
	cmd := exec.CommandContext(t.Context, "go", "test", "-count=1", "-json", "-run", "^("+strings.Join(names, "|")+")$", "./"+pkg)
	cmd.Dir = t.Root
	out, runErr := cmd.Output()
	var passed []string
	var said strings.Builder
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var e struct{ Action, Test, Output string }
		if err := decoder.Decode(&e); err != nil {
			return err
		}
		said.WriteString(e.Output)
		if e.Action == "pass" && e.Test != "" {
			passed = append(passed, e.Test)
		}
	}
	if runErr != nil {
		text := said.String()
		return fmt.Errorf("tests of %s: %w: %s", pkg, runErr, text[max(0, len(text)-600):])
	}
	for _, name := range names {
		if !slices.Contains(passed, name) {
			return fmt.Errorf("%s has no test %s, or it was skipped", pkg, name)
		}
	}
	return nil
}
