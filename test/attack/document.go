package main

import (
	"fmt"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/scene"
)

const preface = `# Attacks

What time daemons have suffered, made again against this suite's daemons by ` + "`make attack`" + `, which writes this page. Every
row first shows in the same run that the undisturbed exchange works (*control*), and only then attacks. A row that says only
that tests ran has none of its own: what it rests on is written in those tests. Rows marked P0 run for every change. A skipped
row says why; it proves nothing.

| row | | attack | verdict | evidence of the last run |
|---|---|---|---|---|
`

// document is the table as a page.
func document(results []scene.Result, last string) string {
	var b strings.Builder
	b.WriteString(preface)
	for _, r := range results {
		mark := ""
		if r.P0 {
			mark = "P0"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.ID, mark, cell(r.What), r.Outcome, cell(r.Evidence))
	}
	fmt.Fprintf(&b, "\n%s\n", last)
	return b.String()
}

// cell keeps a text within one cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s)
}
