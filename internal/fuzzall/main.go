// Command fuzzall runs every fuzz target of the module for a while each.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
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
		cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), t.pkg)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if cmd.Run() != nil {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(targets)-failed, failed)
	if failed > 0 || len(targets) == 0 {
		return fmt.Errorf("%d of %d fuzz targets failed", failed, len(targets))
	}
	return nil
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
