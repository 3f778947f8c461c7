package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// clockTests is where a machine has the tests of package clock.
const clockTests = "bin/clock.test"

// guestTests selects those that move the clock of the machine they run on, and skip themselves elsewhere.
const guestTests = "^TestGuest"

// addClockTests adds the tests of package clock.
func addClockTests(a *archive, dir string) error {
	program := filepath.Join(dir, "clock.test")
	if err := compile("test", "-c", "-trimpath", "-o", program, "github.com/ntpd-go/ntpd-go/clock"); err != nil {
		return err
	}
	return addFile(a, clockTests, program, 0o755)
}

// compile runs the go command; what it makes needs no C library.
func compile(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// obeys proves that the kernel does to its clock what package clock expects of it: rates, steps, slews, a leap second. None
// of these tests may have been skipped.
func obeys(ctx context.Context, m *machine) (string, error) {
	list, err := m.run(ctx, "/"+clockTests, "-test.list", guestTests)
	if err != nil {
		return "", err
	}
	want := strings.Fields(list.Output)
	if list.Code != 0 || len(want) == 0 {
		return "", fmt.Errorf("package clock has no tests for a machine:\n%s", list.Output)
	}
	if err := m.setClock(ctx, 0); err != nil {
		return "", err
	}
	r, err := m.run(ctx, "/"+clockTests, "-test.v", "-test.timeout", "2m", "-test.run", guestTests)
	if err != nil {
		return "", err
	}
	if err := m.save("clock.log", r.Output); err != nil {
		return "", err
	}
	if passed := passedTests(r.Output); r.Code != 0 || !slices.Equal(passed, want) {
		return "", fmt.Errorf("of the tests %v these passed: %v\n%s", want, passed, r.Output)
	}
	if err := m.setClock(ctx, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d tests of a kernel's clock", len(want)), nil
}

// passedTests are the tests that a log of `go test -v` calls passed, as it orders them.
func passedTests(log string) []string {
	var names []string
	for line := range strings.Lines(log) {
		if rest, ok := strings.CutPrefix(line, "--- PASS: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}
