package compliance

import (
	"fmt"
	"strings"
)

const preamble = `# What the standards require, and what proves it

Every MUST and SHOULD for clients and servers, each with the tests that prove it, or why it does not apply.
Written by ` + "`go test ./internal/compliance -update`" + ` from the lists in that directory; the same test fails when a test that is
named here does not exist, or when a row has neither a test nor a reason.

`

// Render makes the document, which lies in docs.
func Render(all []List) string {
	var b strings.Builder
	b.WriteString(preamble)
	b.WriteString("| document | rows | proved by tests | explained only |\n|---|---|---|---|\n")
	for _, l := range all {
		proved := 0
		for _, r := range l.Rows {
			if len(r.Proofs) > 0 {
				proved++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", l.Title, len(l.Rows), proved, len(l.Rows)-proved)
	}
	for _, l := range all {
		fmt.Fprintf(&b, "\n## %s\n\n", l.Title)
		if l.Intro != "" {
			b.WriteString(l.Intro + "\n\n")
		}
		b.WriteString("| id | section | who | level | requirement | proved by |\n|---|---|---|---|---|---|\n")
		for _, r := range l.Rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.ID, r.Section, r.Role, r.Level, cell(r.Text), r.evidence())
		}
	}
	return b.String()
}

func (r *Row) evidence() string {
	var parts []string
	for _, p := range r.Proofs {
		parts = append(parts, fmt.Sprintf("[`%s`](../%s).`%s`", p.Package, p.Package, p.Test))
	}
	for _, n := range r.Notes {
		parts = append(parts, cell(n))
	}
	return strings.Join(parts, "<br>")
}

// cell keeps a text within one cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
