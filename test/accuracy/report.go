package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

// report writes a table and pictures of a file's scenarios.
func (o *options) report(name string, sums []sim.Summary) error {
	curves := filepath.Join(o.out, name)
	if err := os.MkdirAll(curves, 0o755); err != nil {
		return err
	}
	if err := drawErrors(filepath.Join(o.out, name+".svg"), sums); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Scenarios of `%s.json`\n\n", name)
	fmt.Fprintf(&b, "Written by `make accuracy`; seeds %d to %d, %d a scenario. What the columns mean: [README](README.md).\n\n", o.first, o.last, o.last-o.first+1)
	fmt.Fprintf(&b, "![RMS errors](%s.svg)\n\n", name)
	b.WriteString(sim.MarkdownHeader)
	for _, s := range sums {
		b.WriteString(s.MarkdownLine())
	}
	for _, line := range verdicts(sums) {
		fmt.Fprintf(&b, "\n`%s`\n", line)
	}
	fmt.Fprintf(&b, "\n## Typical runs\n\nThe seed whose RMS error is the median: error (band: least and largest of each stretch) and published error bound.\n")
	for _, s := range sums {
		picture := s.Scenario.Name + ".svg"
		if err := drawCurve(filepath.Join(curves, picture), &s); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n", s.Scenario.Name)
		if s.Scenario.Doc != "" {
			fmt.Fprintf(&b, "%s\n\n", strings.ToUpper(s.Scenario.Doc[:1])+s.Scenario.Doc[1:]+".")
		}
		fmt.Fprintf(&b, "![error of %s](%s/%s)\n", s.Scenario.Name, name, picture)
	}
	return os.WriteFile(filepath.Join(o.out, name+".md"), []byte(b.String()), 0o644)
}
