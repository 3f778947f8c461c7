package config

import (
	"fmt"
	"sort"
	"strings"
)

// goOn reports a syntax error at an offset and gives the offset to go on at. The text from base to done was read.
//
// When the expression that cannot be read is a single line, reading goes on at the next line that looks like
// key = value. When it spans lines or is itself a header, it goes on at the next [header], since what comes before
// would be taken for keys of the wrong table.
func (r *reader) goOn(message string, base, done, at int) int {
	first, bad := r.line(done), r.line(at)
	if done > base {
		first++
	}
	for first < bad && blank(r.textOf(first)) {
		first++
	}
	next, hint := bad+1, syntaxHint(message)
	if first < bad {
		next, hint = bad, fmt.Sprintf("perhaps what begins at line %d is not closed", first+1)
		if endless(message) {
			next, at, hint = first+1, r.lines[first], "close what begins here"
		}
	}
	r.report(r.pos(at), "", "this is not TOML: "+message, hint)
	header := first < bad || strings.HasPrefix(strings.TrimSpace(r.textOf(bad)), "[")
	for ; next < len(r.lines); next++ {
		t := r.textOf(next)
		if looksLikeHeader(t) || !header && looksLikeKey(t) {
			return r.lines[next]
		}
	}
	return len(r.data)
}

// endless reports whether an error means that the end of the file was reached while something was open.
func endless(message string) bool {
	return strings.Contains(message, "incomplete") || strings.Contains(message, "terminated") || strings.Contains(message, "end of input")
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "U+000A at start of value"), strings.Contains(message, "U+000D at start of value"):
		return "the value is missing"
	case strings.Contains(message, "strings must be quoted"), strings.Contains(message, "at start of value"), strings.Contains(message, "expected keyword"):
		return `put text in "quotes"`
	case strings.Contains(message, "expected newline"):
		return `one key = value a line, text in "quotes"`
	case endless(message):
		return "something on this line is not closed"
	}
	return "correct this line"
}

// line gives the index of the line of an offset, from zero.
func (r *reader) line(offset int) int {
	return sort.Search(len(r.lines), func(i int) bool { return r.lines[i] > offset }) - 1
}

func (r *reader) textOf(line int) string {
	end := len(r.data)
	if line+1 < len(r.lines) {
		end = r.lines[line+1]
	}
	return string(r.data[r.lines[line]:end])
}

func blank(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || s[0] == '#'
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// bareKey gives the bare, perhaps dotted, key that s starts with, and the rest without blanks in front.
func bareKey(s string) (key, rest string) {
	i := 0
	for i < len(s) && (isBare(s[i]) || s[i] == '.') {
		i++
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

func looksLikeKey(s string) bool {
	key, rest := bareKey(strings.TrimLeft(s, " \t"))
	return key != "" && strings.HasPrefix(rest, "=")
}

func looksLikeHeader(s string) bool {
	s = strings.TrimSpace(s)
	open, closing := "[", "]"
	if strings.HasPrefix(s, "[[") {
		open, closing = "[[", "]]"
	}
	if !strings.HasPrefix(s, open) {
		return false
	}
	key, rest := bareKey(strings.TrimLeft(s[len(open):], " \t"))
	if key == "" || key[0] >= '0' && key[0] <= '9' || !strings.HasPrefix(rest, closing) {
		return false
	}
	return blank(rest[len(closing):])
}
