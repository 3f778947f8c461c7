// Command fuzzall runs every fuzz target of the module for a while each.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	each := flag.Duration("t", 30*time.Second, "how long to run each target")
	only := flag.String("run", "", "run only targets whose name contains this")
	flag.Parse()
	if err := run(*each, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzall:", err)
		os.Exit(1)
	}
}

// target is one fuzz function of one package.
type target struct{ pkg, name string }

func run(each time.Duration, only string) error {
	targets, err := find(only)
	if err != nil {
		return err
	}
	var failed []string
	again := 0
	for _, t := range targets {
		fmt.Printf("== %s %s for %v\n", t.pkg, t.name, each)
		out, ok := t.fuzz(each)
		if !ok && outOfTime(out) {
			fmt.Println("== no input failed: the time was up while a worker was busy; once more")
			again++
			out, ok = t.fuzz(each)
		}
		if !ok && !outOfTime(out) {
			failed = append(failed, fmt.Sprintf("== %s %s failed:\n%s", t.pkg, t.name, tail(out)))
		}
	}
	for _, f := range failed {
		fmt.Println(f)
	}
	fmt.Printf("%d passed, %d failed, %d tried again\n", len(targets)-len(failed), len(failed), again)
	if len(failed) > 0 || len(targets) == 0 {
		return fmt.Errorf("%d of %d fuzz targets failed", len(failed), len(targets))
	}
	return nil
}

// fuzz runs the target for a while and says whether it found nothing.
//
// Making an interesting input smaller is bounded to a few runs: the default, a
// minute for each, would take most of a short run.
func (t target) fuzz(each time.Duration) (output string, ok bool) {
	var out bytes.Buffer
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$",
		"-fuzztime", each.String(), "-fuzzminimizetime", "50x", t.pkg)
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	return out.String(), err == nil
}

// outOfTime reports whether a run failed only because its time was up. Go's
// fuzzing coordinator takes its own deadline for a failure when it is scheduled
// away at the wrong moment (golang.org/issue/75804). It then names no input, and
// nothing else went wrong.
func outOfTime(out string) bool {
	_, failure, found := strings.Cut(out, "--- FAIL: Fuzz")
	if !found || strings.Count(failure, "context deadline exceeded") != 1 {
		return false
	}
	_, said, _ := strings.Cut(failure, "\n")
	for line := range strings.Lines(said) {
		switch line = strings.TrimSpace(line); {
		case line == "", line == "context deadline exceeded", line == "FAIL", line == "exit status 1",
			strings.HasPrefix(line, "FAIL\t"), strings.HasPrefix(line, "fuzz: elapsed:"):
		default:
			return false
		}
	}
	return !strings.Contains(out, "panic:") && !strings.Contains(out, "fatal error:")
}

// tail is the end of an output, without the reports of progress.
func tail(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "fuzz: elapsed") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(len(lines)-60, 0):], "")
}

// find lists the fuzz targets of the module.
func find(only string) ([]target, error) {
	cmd := exec.Command("go", "test", "-list", "^Fuzz", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing targets: %w", err)
	}
	var targets []target
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, n := range names {
				if strings.Contains(n, only) {
					targets = append(targets, target{fields[1], n})
				}
			}
			names = nil
		}
	}
	return targets, lines.Err()
}
