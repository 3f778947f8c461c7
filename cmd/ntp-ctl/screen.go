package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is what is known about where a text goes.
type screen struct {
	width   int
	colour  bool
	unicode bool
}

// plainWidth is the width of what is no terminal.
const plainWidth = 120

// narrowest is the least width that anything is laid out for.
const narrowest = 40

// newScreen looks at an output and at the environment: NO_COLOR
// (no-color.org), TERM=dumb, the locale's character set, COLUMNS.
func newScreen(out io.Writer, getenv func(string) string, f *screenFlags) screen {
	file, _ := out.(*os.File)
	terminal := file != nil && term.IsTerminal(int(file.Fd()))
	sc := screen{width: plainWidth, unicode: !f.ascii && utf8Locale(getenv)}
	switch f.colour {
	case "always":
		sc.colour = true
	case "auto":
		sc.colour = terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
	if terminal {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil && w > 0 {
			sc.width = w
		}
	}
	if w, err := strconv.Atoi(getenv("COLUMNS")); err == nil && w > 0 && !terminal {
		sc.width = w
	}
	sc.width = max(sc.width, narrowest)
	return sc
}

// screenFlags are the flags that a person sets when newScreen guesses wrong.
type screenFlags struct {
	colour string
	ascii  bool
}

// utf8Locale reports whether the locale's character set is UTF-8. The first
// variable that is set decides (locale(7)). No locale at all is UTF-8: that is
// what a container has, whose terminal is outside.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return getenv("TERM") != "linux" && getenv("TERM") != "dumb"
}

// Colours, as attributes of ECMA-48.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text, which is wide as before.
func (sc screen) paint(attribute, text string) string {
	if !sc.colour || attribute == "" || text == "" {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}

// asciiForms are what stands for the characters beyond ASCII that are ours.
var asciiForms = strings.NewReplacer("±", "+/-", "µ", "u", "·", ".", "●", "#", "…", "~", "└", ">", "—", "-",
	"▁", "_", "▂", "_", "▃", ".", "▄", ".", "▅", "-", "▆", "-", "▇", "=", "█", "#")

// text makes a text printable on the screen.
func (sc screen) text(t string) string {
	if sc.unicode {
		return t
	}
	t = asciiForms.Replace(t)
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && string(r) != glued {
			return '?'
		}
		return r
	}, t)
}

// width is the number of columns that a text takes.
func width(t string) int { return utf8.RuneCountInString(t) }

// pad fills a text up with spaces.
func pad(t string, w int, right bool) string {
	fill := strings.Repeat(" ", max(w-width(t), 0))
	if right {
		return fill + t
	}
	return t + fill
}

// shorten cuts a text to a width, with an ellipsis in its middle: both ends of
// a name tell something.
func shorten(t string, w int) string {
	r := []rune(t)
	if len(r) <= w {
		return t
	}
	if w < 4 {
		return string(r[:w])
	}
	head := (w - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(w-1-head):])
}

// glued is a space that no line ends at.
const glued = "\u00a0"

// glue keeps the words of a text on one line.
func glue(t string) string { return strings.ReplaceAll(t, " ", glued) }

// wrap breaks a text into lines of a width, between words where it can.
func wrap(t string, w int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsFuncSeq(t, func(r rune) bool { return r == ' ' || r == '\n' }) {
		word = strings.ReplaceAll(word, glued, " ")
		for width(word) > w {
			if current != "" {
				lines, current = append(lines, current), ""
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:w])), string(r[w:])
		}
		switch {
		case current == "":
			current = word
		case width(current)+1+width(word) <= w:
			current += " " + word
		default:
			lines, current = append(lines, current), word
		}
	}
	if current != "" {
		lines = append(lines, current)
	}
	return lines
}

// paragraph prints a text below a label, wrapped, with a hanging indent.
func (sc screen) paragraph(w io.Writer, label, t string) {
	for i, l := range wrap(sc.text(t), sc.width-width(label)) {
		if i > 0 {
			label = strings.Repeat(" ", width(label))
		}
		fmt.Fprintf(w, "%s%s\n", label, l)
	}
}
