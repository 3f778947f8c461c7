// Package manpage writes manual pages out of the commands that they describe,
// so that a page never says less or other than --help.
package manpage

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Part is a section of a page that the commands do not know: a title in
// capitals, and paragraphs with blank lines between them.
type Part struct{ Title, Text string }

// Write makes the page of a command and all of its verbs. section is the
// manual's, such as 8. Further parts stand behind those of the command.
func Write(root *cobra.Command, section int, more ...Part) []byte {
	p := &page{}
	p.line(".\\\" Written by go test ./cmd/... -update out of the command's own help.")
	p.line(".TH %s %d \"\" \"ntpd-go\" \"System administration\"", strings.ToUpper(escape(root.Name())), section)
	p.part("NAME")
	p.line("%s \\- %s", escape(root.Name()), escape(lower(root.Short)))
	p.part("SYNOPSIS")
	verbs := verbsOf(root)
	if root.HasExample() || len(verbs) == 0 { // else it only has verbs
		p.line(".B %s\n.br", escape(root.UseLine()))
	}
	for _, v := range verbs {
		p.line(".B %s\n.br", escape(v.UseLine()))
	}
	if root.Long != "" {
		p.part("DESCRIPTION")
		p.text(root.Long)
	}
	if len(verbs) > 0 {
		p.part("COMMANDS")
		for _, v := range verbs {
			p.verb(root, v)
		}
	}
	p.part("OPTIONS")
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	p.options(root)
	if root.HasExample() {
		p.part("EXAMPLES")
		p.examples(root.Example)
	}
	for _, m := range more {
		p.part(m.Title)
		p.text(m.Text)
	}
	return p.b.Bytes()
}

// verbsOf are all commands below one that do something, by name.
func verbsOf(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range cmd.Commands() {
		if sub := verbsOf(c); len(sub) > 0 {
			all = append(all, sub...)
		} else if !c.Hidden && c.Name() != "help" {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *cobra.Command) int { return strings.Compare(a.CommandPath(), b.CommandPath()) })
	return all
}

// page is one that is being written.
type page struct{ b bytes.Buffer }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) part(title string) { p.line(".SH %s", title) }

// verb describes one command of several.
func (p *page) verb(root, v *cobra.Command) {
	p.line(".SS %s", escape(strings.TrimPrefix(v.UseLine(), root.Name()+" ")))
	text := v.Long
	if text == "" {
		text = v.Short + "."
	}
	p.text(text)
	p.options(v)
	if v.HasExample() {
		p.line(".PP\nExamples:")
		p.examples(v.Example)
	}
}

// text writes paragraphs; what is indented keeps its lines.
func (p *page) text(t string) {
	for paragraph := range strings.SplitSeq(strings.Trim(t, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			p.line(".PP\n.nf")
			for l := range strings.SplitSeq(paragraph, "\n") {
				p.line("%s", escape(l))
			}
			p.line(".fi")
			continue
		}
		p.line(".PP")
		for l := range strings.SplitSeq(paragraph, "\n") {
			p.line("%s", escape(strings.TrimSpace(l)))
		}
	}
}

// options lists the flags of one command, as its help does.
func (p *page) options(cmd *cobra.Command) {
	usages := strings.Trim(cmd.LocalFlags().FlagUsages(), "\n")
	if usages == "" {
		return
	}
	p.line(".PP\n.nf")
	for l := range strings.SplitSeq(usages, "\n") {
		p.line("%s", escape(l))
	}
	p.line(".fi")
}

// examples writes commands as they are typed, one a line.
func (p *page) examples(t string) {
	p.line(".EX")
	for l := range strings.SplitSeq(strings.Trim(t, "\n"), "\n") {
		p.line("%s", escape(strings.TrimSpace(l)))
	}
	p.line(".EE")
}

// escape makes a line that troff takes for nothing but text.
func escape(l string) string {
	l = strings.ReplaceAll(l, `\`, `\e`)
	l = strings.ReplaceAll(l, "-", `\-`)
	if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
		l = `\&` + l
	}
	return l
}

// Examples are the commands that a page shows, as they are typed.
func Examples(text []byte) (all []string) {
	inside := false
	for l := range strings.Lines(string(text)) {
		switch l = strings.TrimSuffix(l, "\n"); l {
		case ".EX":
			inside = true
		case ".EE":
			inside = false
		default:
			if inside {
				l = strings.TrimPrefix(l, `\&`)
				all = append(all, strings.ReplaceAll(strings.ReplaceAll(l, `\-`, "-"), `\e`, `\`))
			}
		}
	}
	return all
}

// lower begins a line as one of whatis(1) does.
func lower(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
