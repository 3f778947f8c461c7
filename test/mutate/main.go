// Command mutate removes each guard of the suite in turn and checks that a test notices. Guards are removed by `go test
// -overlay`, in copies: nothing in the shipped code can switch one off. A guard is a pattern of the source, and a pattern
// that is no longer there, or a mutant that does not compile, is a failure.
//
//	go run ./test/mutate              all guards
//	go run ./test/mutate -run cookie  those whose name matches
//	go run ./test/mutate -attacks     and attack the real daemons without them (needs root)
//
// The last line is `N passed, N failed, N skipped`. A guard that nothing misses, or one test alone, makes the exit code 1.
// With -attacks each mutant is built, too, and the rows of the attack suite that are about its guard have to fail.
package main

import (
	"context"
	"encoding/json"
	"errors"
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
	attacks := flag.Bool("attacks", false, "attack the mutants, too, by the rows of the attack suite that are meant to notice (needs root)")
	flag.Parse()
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, match, *attacks)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, match *regexp.Regexp, attacks bool) (failed int, err error) {
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
	if killers, output, err := test(ctx, "", packages, 0); err != nil || len(killers) > 0 {
		return 0, fmt.Errorf("the tests fail without any mutation: %v %w\n%s", killers, err, output)
	}
	fmt.Printf("control: the tests of %d packages pass\n", len(packages))
	var s *suite
	if attacks {
		if s, err = newSuite(ctx, dir, chosen); err != nil {
			return 0, err
		}
		fmt.Println("control:", s.control)
	}
	passed := 0
	for i, g := range chosen {
		begin := time.Now()
		verdict, err := g.remove(ctx, filepath.Join(dir, fmt.Sprint(i)), s)
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
	rows     string   // of the attack suite, a regular expression, that have to notice; empty for none
}

// edit replaces the only occurrence of a text in a file of the module.
type edit struct{ file, old, new string }

// remove takes the guard away and says which tests noticed. An error is a guard that nobody misses, or that could not be
// taken away.
func (g *guard) remove(ctx context.Context, dir string, s *suite) (string, error) {
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
	killers, output, err := test(ctx, file, g.packages, enough)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w\n%s", err, output)
	case len(killers) == 0:
		return "", fmt.Errorf("no test of %s misses it", strings.Join(g.packages, " "))
	case len(killers) == 1:
		return "", fmt.Errorf("missed by one test alone: %s", killers[0])
	}
	verdict := "missed by " + strings.Join(killers, ", ")
	if s == nil || g.rows == "" {
		return verdict, nil
	}
	rows, err := s.attack(ctx, dir, file, g.rows)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; the attack succeeds: %s", verdict, strings.Join(rows, ", ")), nil
}

// enough is how many tests that notice are waited for: two, so that one which is lost or weakened is not
// missed. What they have in common is not looked at.
const enough = 2

// event is a line of `go test -json`.
type event struct{ Action, Package, Test, Output string }

// test runs the tests of packages, one package after the other, and returns those that failed. It ends as soon as enough
// have; 0 is all. A package that does not build is an error.
func test(ctx context.Context, overlay string, packages []string, enough int) (failed []string, output string, err error) {
	for _, p := range packages {
		more, said, err := testPackage(ctx, overlay, p, enough-len(failed))
		if err != nil {
			return nil, said, err
		}
		failed, output = append(failed, more...), output+said
		if enough > 0 && len(failed) >= enough {
			break
		}
	}
	slices.Sort(failed)
	return slices.Compact(failed), tail(output), nil
}

// testPackage does so for one package.
func testPackage(ctx context.Context, overlay, pkg string, enough int) (failed []string, output string, err error) {
	args := []string{"test", "-json", "-short", "-vet=off", "-timeout=240s"}
	env := append(os.Environ(), "CGO_ENABLED=0") // as what is shipped
	if overlay != "" {                           // for the programs that a test builds, too, of which go's cache of results knows nothing
		flags, err := command(ctx, "go", "env", "GOFLAGS")
		if err != nil {
			return nil, flags, err
		}
		args, env = append(args, "-count=1"), append(env, "GOFLAGS="+strings.TrimSpace(flags)+" -overlay="+overlay)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(running, "go", append(args, pkg)...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go test, and the test that it runs
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr, said strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	finished, broken, wrong := false, false, error(nil)
	for decoder := json.NewDecoder(out); wrong == nil; {
		var e event
		if wrong = decoder.Decode(&e); wrong != nil {
			break
		}
		switch e.Action {
		case "build-fail":
			broken = true
		case "fail":
			if e.Test == "" {
				finished = true
			} else if !strings.Contains(e.Test, "/") {
				failed = append(failed, e.Test)
			}
		case "pass", "skip":
			finished = finished || e.Test == ""
		case "output", "build-output":
			said.WriteString(e.Output)
		}
		if enough > 0 && len(failed) >= enough {
			stop()
			_ = cmd.Wait() // it was killed
			return failed, tail(said.String()), nil
		}
	}
	runErr := cmd.Wait()
	output = tail(stderr.String() + said.String())
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case broken:
		return nil, output, fmt.Errorf("the mutant of %s does not compile", pkg)
	case !finished:
		return nil, output, fmt.Errorf("%s was not tested: %w", pkg, errors.Join(runErr, wrong))
	case runErr != nil && len(failed) == 0:
		failed = append(failed, "a test of "+pkg+" that ended the process or ran out of time")
	}
	return failed, output, nil
}

// tail is the end of a text.
func tail(s string) string { return s[max(0, len(s)-2000):] }
