package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Pos is a place in a configuration file. Lines and columns count from one, columns in bytes. The zero Pos means
// "nowhere in the file": a default.
type Pos struct {
	File   string
	Line   int
	Column int
}

// String gives file:line:column, which editors and terminals know how to open.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// IsValid reports whether the position points into a file.
func (p Pos) IsValid() bool { return p.Line > 0 }

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// A Problem is one thing that makes a configuration unusable.
type Problem struct {
	Pos  Pos
	Key  string // the key's path such as "source.address"; empty when the text of the file cannot be read at all
	Text string // what is wrong
	Hint string // what to do about it; may be empty
}

// Error prints the problem as one line: where, which key, what is wrong, what to do.
func (p Problem) Error() string {
	return line(p.Pos, p.Key, p.Text, p.Hint)
}

func line(pos Pos, key, text, hint string) string {
	var b strings.Builder
	b.WriteString(pos.String())
	if key != "" {
		b.WriteString(": " + key)
	}
	b.WriteString(": " + text)
	if hint != "" {
		b.WriteString("; " + hint)
	}
	return b.String()
}

// Problems are all problems of one file in the order of the file.
type Problems []Problem

// Error prints one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err gives the problems as an error, nil when there are none. (A nil Problems stored in an error variable would not
// compare equal to nil.)
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(a.Pos.compare(b.Pos), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(ps)
}

// A Warning is something a person should know about a configuration that is used all the same.
type Warning struct {
	Pos  Pos
	Key  string
	Text string
	// Info marks what is merely worth a line at INFO.
	Info bool
	// FailsValidate marks what makes `ntp-ctl validate` exit 1 although the daemon starts, as ntpd-rs has it.
	FailsValidate bool
}

// String prints the warning as one line.
func (w Warning) String() string { return line(w.Pos, w.Key, w.Text, "") }

// An Effect says what would differ if a key were ignored.
type Effect uint8

// The effects of ignoring a key.
const (
	EffectNone    Effect = iota // nothing that leaves the daemon
	EffectSteered               // what the clock is steered to, or which clock
	EffectAsked                 // what is asked of whom
	EffectServed                // what is served to whom
)

// Refuses reports whether the daemon must refuse to start rather than ignore the key.
func (e Effect) Refuses() bool { return e != EffectNone }

// String names what would change.
func (e Effect) String() string {
	switch e {
	case EffectNone:
		return "nothing"
	case EffectSteered:
		return "what is steered"
	case EffectAsked:
		return "what is asked"
	case EffectServed:
		return "what is served"
	}
	return fmt.Sprintf("Effect(%d)", uint8(e))
}

// An Unbuilt is a key that is understood and written in the file, but whose capability does not exist yet in this
// version. It is never silently ignored: each is named in the log and by validate, and where Effect.Refuses the
// daemon does not start (exit 78).
type Unbuilt struct {
	Pos    Pos
	Key    string
	Text   string // what is missing and, where there is one, the way out
	Effect Effect
}

// String prints the key as one line.
func (u Unbuilt) String() string {
	return line(u.Pos, u.Key, u.Text, "")
}
