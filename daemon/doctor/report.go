package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Status is the outcome of a check.
type Status int

// The outcomes; as exit codes they are those of monitoring plugins.
const (
	OK Status = iota
	Warn
	Fail
)

// String is how a line begins.
func (s Status) String() string { return [...]string{"OK", "WARN", "FAIL"}[s] }

// MarshalText writes the outcome for JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(strings.ToLower(s.String())), nil }

// Line is what one check found.
type Line struct {
	Check    string `json:"check"`             // a stable word
	Subject  string `json:"subject,omitempty"` // what was looked at
	Status   Status `json:"status"`
	Measured string `json:"measured"`
	Expected string `json:"expected,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

// String is the whole of it in one line.
func (l Line) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-4s  %s: ", l.Status, l.Check)
	if l.Subject != "" {
		b.WriteString(l.Subject + ": ")
	}
	b.WriteString(l.Measured)
	if l.Expected != "" {
		b.WriteString(" (expected: " + l.Expected + ")")
	}
	if l.Fix != "" && l.Status != OK {
		b.WriteString("; fix: " + l.Fix)
	}
	return clean(b.String())
}

// clean keeps what strangers wrote from making lines of its own.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// Schema is the version of the JSON of a Report. Keys may be added; what
// there is keeps its meaning.
const Schema = 1

// Report is all that was found, causes first.
type Report struct {
	Schema int    `json:"schema"`
	Status Status `json:"status"`
	Lines  []Line `json:"checks"`
}

func (r *Report) add(l Line) {
	r.Lines = append(r.Lines, l)
	r.Status = max(r.Status, l.Status)
}

func (r *Report) count(s Status) int {
	n := 0
	for i := range r.Lines {
		if r.Lines[i].Status == s {
			n++
		}
	}
	return n
}

// First is the first line that is not OK: the likeliest cause.
func (r *Report) First() (Line, bool) {
	for _, l := range r.Lines {
		if l.Status != OK {
			return l, true
		}
	}
	return Line{}, false
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	for _, l := range r.Lines {
		fmt.Fprintln(w, l)
	}
	if r.Status == OK {
		_, err := fmt.Fprintf(w, "\nAll OK: %d checks.\n", len(r.Lines))
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d failed, %d warnings, %d OK. Begin with the first line that is not OK.\n", r.count(Fail), r.count(Warn), r.count(OK))
	return err
}
