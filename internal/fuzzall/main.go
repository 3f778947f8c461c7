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
	failed := 0
	for _, t := range targets {
		fmt.Printf("== %s %s for %v\n", t.pkg, t.name, each)
		if !t.fuzz(each) {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(targets)-failed, failed)
	if failed > 0 || len(targets) == 0 {
		return fmt.Errorf("%d of %d fuzz targets failed", failed, len(targets))
	}
	return nil
}

// fuzz runs the target for a while and says whether it found nothing.
//
// Making an interesting input smaller is bounded to a few runs: the default, a
// minute for each, would take most of a short run.
func (t target) fuzz(each time.Duration) bool {
	var out bytes.Buffer
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$",
		"-fuzztime", each.String(), "-fuzzminimizetime", "50x", t.pkg)
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = cmd.Stdout
	if cmd.Run() == nil {
		return true
	}
	if outOfTime(out.String()) {
		fmt.Println("no input failed: the time was up while a worker was busy")
		return true
	}
	return false
}

// outOfTime reports whether a run failed only because its time was up. Go's
// fuzzing coordinator takes its own deadline for a failure when it is scheduled
// away at the wrong moment (golang.org/issue/75804). It then names no input.
func outOfTime(out string) bool {
	_, failure, found := strings.Cut(out, "--- FAIL: Fuzz")
	if !found {
		return false
	}
	lines := strings.Split(failure, "\n")
	if len(lines) < 3 || strings.TrimSpace(lines[1]) != "context deadline exceeded" || lines[2] != "FAIL" {
		return false
	}
	for _, sign := range []string{"Failing input written", "panic:", "fatal error:", "hung or terminated"} {
		if strings.Contains(out, sign) {
			return false
		}
	}
	return true
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
