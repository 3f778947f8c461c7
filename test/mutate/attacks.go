package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// suite is the attack suite, made from the source as it is: what it plays itself, such as honest servers, keeps its guards.
type suite struct {
	program string
	control string
}

// newSuite builds it, and shows that the rows that mutants will meet pass while nothing is removed.
func newSuite(ctx context.Context, dir string, guards []guard) (*suite, error) {
	s := &suite{program: filepath.Join(dir, "attack")}
	if out, err := command(ctx, "go", "build", "-o", s.program, "./test/attack"); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var all []string
	for _, g := range guards {
		if g.rows != "" {
			all = append(all, g.rows)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		s.control = "no row of the attack suite is about these guards"
		return s, nil
	}
	out, failed, err := s.run(ctx, filepath.Join(dir, "whole"), "", strings.Join(all, "|"))
	if err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("rows of the attack suite fail without any mutation: %v\n%s", failed, tail(out))
	}
	s.control = "with all guards in place the attacks fail: " + strings.Join(all, " ")
	return s, nil
}

// attack builds the commands without a guard and returns the rows that notice. All of them have to.
func (s *suite) attack(ctx context.Context, dir, overlay, rows string) ([]string, error) {
	out, failed, err := s.run(ctx, filepath.Join(dir, "bin"), overlay, rows)
	if err != nil {
		return nil, err
	}
	if want := strings.Count(rows, "|") + 1; len(failed) < want {
		return nil, fmt.Errorf("the attacks %s fail although the guard is not there: of them only %v noticed\n%s", rows, failed, tail(out))
	}
	return failed, nil
}

// failedRow is the line of a row that failed.
var failedRow = regexp.MustCompile(`(?m)^(\S+) +FAILED `)

func (s *suite) run(ctx context.Context, bin, overlay, rows string) (out string, failed []string, err error) {
	build := []string{"go", "build", "-trimpath", "-o", bin + "/"}
	if overlay != "" {
		build = append(build, "-overlay="+overlay)
	}
	if out, err := command(ctx, append(build, "./cmd/ntp-daemon", "./cmd/nts-pool-ke", "./cmd/ntp-ctl", "./cmd/ntp-metrics-exporter")...); err != nil {
		return "", nil, fmt.Errorf("the mutant does not compile: %w\n%s", err, out)
	}
	defer os.RemoveAll(bin)
	out, err = command(ctx, s.program, "-bin", bin, "-j", "4", "-run", "("+rows+")$")
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended || !strings.Contains(out, " passed, ") {
		return "", nil, fmt.Errorf("the attack suite: %w\n%s", err, tail(out))
	}
	for _, m := range failedRow.FindAllStringSubmatch(out, -1) {
		failed = append(failed, m[1])
	}
	if dir := keptRows.FindStringSubmatch(out); dir != nil {
		_ = os.RemoveAll(dir[1]) // the logs of rows that were to fail
	}
	return out, failed, nil
}

var keptRows = regexp.MustCompile(`logs and files of the rows are in (\S+)`)

// command runs a program of the module, built as it is shipped.
func command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	out, err := cmd.CombinedOutput()
	return string(out), err
}
