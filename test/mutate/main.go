// Command mutate removes each guard of the suite in turn and checks that a test notices. Guards are removed by `go test
// -overlay`, in copies: nothing in the shipped code can switch one off. A guard is a pattern of the source, and a pattern
// that is no longer there, or a mutant that does not compile, is a failure.
//
//	go run ./test/mutate              all guards
//	go run ./test/mutate -run cookie  those whose name matches
//
// The last line is `N passed, N failed, N skipped`; a guard that nothing misses makes the exit code 1. A guard that only
// one test misses is reported as thin.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	pattern := flag.String("run", "", "only guards whose name matches this regular expression")
	flag.Parse()
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, match)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, match *regexp.Regexp) (failed int, err error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	chosen := slices.DeleteFunc(slices.Clone(guards), func(g guard) bool { return !match.MatchString(g.name) })
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no guard matches %q", match)
	}
	// The control: with all guards in place no test fails.
	var packages []string
	for _, g := range chosen {
		packages = append(packages, g.packages...)
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	if killers, output, err := test(ctx, "", packages); err != nil || len(killers) > 0 {
		return 0, fmt.Errorf("the tests fail without any mutation: %v %w\n%s", killers, err, output)
	}
	fmt.Printf("control: the tests of %d packages pass\n", len(packages))
	passed := 0
	for i, g := range chosen {
		begin := time.Now()
		verdict, err := g.remove(ctx, filepath.Join(dir, fmt.Sprint(i)))
		word := "passed"
		if err != nil {
			word, verdict = "FAILED", err.Error()
			failed++
		} else {
			passed++
		}
		fmt.Printf("%-6s %4.0fs  %s: %s\n", word, time.Since(begin).Seconds(), g.name, verdict)
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	return failed, nil
}

// guard is a check that has to be there, and how to take it away.
type guard struct {
	name     string
	edits    []edit
	packages []string // whose tests have to notice
}

// edit replaces the only occurrence of a text in a file of the module.
type edit struct{ file, old, new string }

// remove takes the guard away and says which tests noticed. An error is a guard that nobody misses, or that could not be
// taken away.
func (g *guard) remove(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, e := range g.edits {
		text, ok := texts[e.file]
		if !ok {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("the pattern is %d times in %s: %q", n, e.file, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range texts {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, file)] = copied
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return "", err
	}
	killers, output, err := test(ctx, file, g.packages)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w\n%s", err, output)
	case len(killers) == 0:
		return "", fmt.Errorf("no test of %s misses it", strings.Join(g.packages, " "))
	case len(killers) == 1:
		return "missed by one test alone (thin): " + killers[0], nil
	}
	return fmt.Sprintf("missed by %d tests, such as %s", len(killers), killers[0]), nil
}

// event is a line of `go test -json`.
type event struct{ Action, Package, Test, Output string }

// test runs the tests of packages and returns those that failed. A package that does not build is an error.
func test(ctx context.Context, overlay string, packages []string) (failed []string, output string, err error) {
	args := []string{"test", "-json", "-short", "-vet=off", "-timeout=240s"}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, runErr := cmd.Output()
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	finished := map[string]bool{}
	var said strings.Builder
	decoder := json.NewDecoder(strings.NewReader(string(b)))
	for decoder.More() {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return nil, string(b), err
		}
		switch e.Action {
		case "build-fail":
			return nil, stderr.String() + string(b), fmt.Errorf("the mutant of %s does not compile", e.Package)
		case "fail":
			if e.Test == "" {
				finished[e.Package] = true
			} else if !strings.Contains(e.Test, "/") {
				failed = append(failed, e.Test)
			}
		case "pass", "skip":
			if e.Test == "" {
				finished[e.Package] = true
			}
		case "output":
			said.WriteString(e.Output)
		}
	}
	switch {
	case len(finished) < len(packages):
		return nil, tail(stderr.String() + said.String()), fmt.Errorf("only %d of %d packages were tested: %w", len(finished), len(packages), runErr)
	case runErr != nil && len(failed) == 0:
		failed = append(failed, "a test that ended the process or ran out of time")
	}
	slices.Sort(failed)
	return slices.Compact(failed), tail(said.String()), nil
}

// tail is the end of a text.
func tail(s string) string { return s[max(0, len(s)-2000):] }
