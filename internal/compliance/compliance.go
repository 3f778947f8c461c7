// Package compliance is the list of what the standards of NTP and NTS require,
// and which test proves that it is done. docs/rfc-compliance.md is made of it.
//
// A list is text, so that it can be read and changed like one:
//
//	# Title
//	Introduction, any number of lines.
//
//	ID §section role LEVEL
//	  What is required.
//	  + package.TestThatProvesIt
//	  - Why it does not apply, or what is done instead.
package compliance

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.txt
var lists embed.FS

// files are the lists, in the order of the document.
var files = []string{"rfc8915.txt", "rfc5905.txt", "rfc7822.txt", "rfc8633.txt", "rfc9109.txt"}

// List is the requirements of one document.
type List struct {
	Title string
	Intro string
	Rows  []Row
}

// Row is one requirement.
type Row struct {
	ID      string // unique in all lists
	Section string
	Role    string // who has to do it
	Level   string // one of Levels
	Text    string
	Proofs  []Proof
	Notes   []string
}

// Proof is a test function. Package is a directory of the module.
type Proof struct{ Package, Test string }

// Levels are the words of RFC 2119, and three for what a standard says without
// them.
var Levels = []string{
	"MUST", "MUST NOT", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "MAY", "text", "advice", "principle",
}

// Load reads all lists.
func Load() ([]List, error) {
	var all []List
	for _, name := range files {
		text, err := lists.ReadFile(name)
		if err != nil {
			return nil, err
		}
		l, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s:%w", name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

func parse(text string) (List, error) {
	var l List
	for i, line := range strings.Split(text, "\n") {
		err := l.line(line)
		if err != nil {
			return l, fmt.Errorf("%d: %w", i+1, err)
		}
	}
	return l, nil
}

func (l *List) line(line string) error {
	body, indented := strings.CutPrefix(line, "  ")
	switch {
	case line == "":
	case strings.HasPrefix(line, "# "):
		l.Title = line[2:]
	case indented && len(l.Rows) > 0:
		return l.Rows[len(l.Rows)-1].add(body)
	case strings.Contains(line, " §"):
		r, err := head(line)
		if err != nil {
			return err
		}
		l.Rows = append(l.Rows, r)
	case len(l.Rows) == 0:
		l.Intro = strings.TrimSpace(l.Intro + " " + line)
	default:
		return fmt.Errorf("%q is no row", line)
	}
	return nil
}

// head parses "ID §section role LEVEL".
func head(line string) (Row, error) {
	id, rest, _ := strings.Cut(line, " §")
	section, rest, _ := strings.Cut(rest, " ")
	level := ""
	for _, l := range Levels {
		if strings.HasSuffix(rest, " "+l) && len(l) > len(level) {
			level = l
		}
	}
	role := strings.TrimSuffix(rest, " "+level)
	if id == "" || section == "" || level == "" || role == "" {
		return Row{}, fmt.Errorf("%q: a row begins with ID §section role LEVEL", line)
	}
	return Row{ID: id, Section: section, Role: role, Level: level}, nil
}

func (r *Row) add(body string) error {
	proof, isProof := strings.CutPrefix(body, "+ ")
	note, isNote := strings.CutPrefix(body, "- ")
	switch {
	case isProof:
		dot := strings.LastIndex(proof, ".")
		if dot < 0 {
			return fmt.Errorf("%q is not package.Test", proof)
		}
		p := Proof{proof[:dot], proof[dot+1:]}
		if slices.Contains(r.Proofs, p) {
			return fmt.Errorf("%s names %s twice", r.ID, proof)
		}
		r.Proofs = append(r.Proofs, p)
	case isNote:
		r.Notes = append(r.Notes, note)
	default:
		r.Text = strings.TrimSpace(r.Text + " " + body)
	}
	return nil
}
