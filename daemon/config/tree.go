package config

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// kindOf is the TOML type of a value.
type kindOf uint8

const (
	badValue kindOf = iota // already reported; decoding passes over it
	stringValue
	integerValue
	floatValue
	boolValue
	dateValue
	arrayValue
	tableValue
)

func (k kindOf) String() string {
	return [...]string{"an unreadable value", "a string", "an integer", "a float", "a boolean", "a date or time", "an array", "a table"}[k]
}

// value is one TOML value with the place it was written at.
type value struct {
	kind    kindOf
	pos     Pos
	raw     string // numbers and booleans as written
	text    string
	integer int64
	float   float64
	truth   bool
	list    []*value
	table   *group
	// headed marks an array made by [[double brackets]].
	headed bool
}

// entry is a key of a table and its value.
type entry struct {
	name  string // as used from here on
	was   string // as written, when an older spelling was moved here: a path
	pos   Pos    // of the key
	value *value
}

// origin says how a table came to be, because TOML forbids to reopen most of them.
type origin uint8

const (
	implied origin = iota // as the parent of another header
	headed                // by its own [header]
	dotted                // by a dotted key
	inline                // as { … }
)

// group is a TOML table in the order of the file.
type group struct {
	entries []*entry
	index   map[string]*entry
	from    origin
	// broken marks a table with a line that could not be read: its required keys may be on that line.
	broken bool
}

func newGroup(from origin) *group { return &group{index: map[string]*entry{}, from: from} }

func (g *group) get(name string) *entry { return g.index[name] }

func (g *group) add(e *entry) {
	g.entries = append(g.entries, e)
	g.index[e.name] = e
}

func (g *group) remove(e *entry) {
	delete(g.index, e.name)
	for i := range g.entries {
		if g.entries[i] == e {
			g.entries = append(g.entries[:i], g.entries[i+1:]...)
			return
		}
	}
}

// reader builds the tree of one document.
type reader struct {
	name     string
	data     []byte
	lines    []int // offsets of line starts
	root     *group
	current  *group // the table that key = value lines go to
	problems Problems
}

// readTree parses data. It always returns a tree: where a line cannot be read it reports that and goes on at the next
// line that can be made sense of.
func readTree(name string, data []byte) (*group, Problems) {
	r := &reader{name: name, data: data[:len(data):len(data)], lines: []int{0}, root: newGroup(headed)}
	for i, b := range data {
		if b == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	r.current = r.root
	start := 0
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) { // a byte order mark is not part of the text
		start = 3
	}
	for start < len(r.data) {
		start = r.readFrom(start)
	}
	return r.root, r.problems
}

// readFrom parses expressions from an offset on. It returns the length of the document when it reached its end, or the
// offset to go on at after a syntax error.
func (r *reader) readFrom(base int) int {
	p := &unstable.Parser{}
	p.Reset(r.data[base:])
	done := base // the end of the last expression that could be read
	for p.NextExpression() {
		n := p.Expression()
		switch n.Kind {
		case unstable.KeyValue:
			r.keyValue(r.current, n, base)
			done = base + int(n.Raw.Offset+n.Raw.Length)
		case unstable.Table, unstable.ArrayTable:
			for it := n.Key(); it.Next(); {
				done = base + int(it.Node().Raw.Offset+it.Node().Raw.Length)
			}
			r.header(n, base)
		}
	}
	var bad *unstable.ParserError
	if !errors.As(p.Error(), &bad) {
		return len(r.data)
	}
	// The highlight is a slice of the input, so its capacity tells where it starts.
	at := min(max(cap(r.data)-cap(bad.Highlight), base), len(r.data)-1)
	r.problems = append(r.problems, Problem{Pos: r.pos(at), Text: "this is not TOML: " + bad.Message, Hint: syntaxHint(bad.Message)})
	r.current.broken = true
	return r.resume(done, at, base)
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "strings must be quoted"), strings.Contains(message, "at start of value"), strings.Contains(message, "expected keyword"):
		return `put text in "quotes"`
	case strings.Contains(message, "incomplete"), strings.Contains(message, "end of input"), strings.Contains(message, "unterminated"):
		return "something opened here or above is never closed"
	}
	return "correct this line"
}

// resume finds the line to go on at after an error: the next one that looks like key = value when the broken
// expression is a single line, the next [header] when it spans lines or is itself a header, since what follows would
// otherwise be taken for keys of the wrong table.
func (r *reader) resume(done, at, base int) int {
	from := r.line(done)
	if done > base {
		from++
	}
	for from < r.line(at) && blank(r.textOf(from)) {
		from++
	}
	bad := r.line(at)
	alone := from >= bad && !strings.HasPrefix(strings.TrimSpace(r.textOf(bad)), "[")
	for l := bad + 1; l < len(r.lines); l++ {
		t := r.textOf(l)
		if looksLikeHeader(t) || alone && looksLikeKey(t) {
			return r.lines[l]
		}
	}
	return len(r.data)
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

// bareKey gives the bare (perhaps dotted) key that s starts with, and the rest without blanks in front.
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

func (r *reader) pos(offset int) Pos {
	l := r.line(offset)
	return Pos{File: r.name, Line: l + 1, Column: offset - r.lines[l] + 1}
}

func (r *reader) report(pos Pos, key, text, hint string) {
	r.problems = append(r.problems, Problem{Pos: pos, Key: key, Text: text, Hint: hint})
}

// part is one piece of a dotted key.
type part struct {
	name string
	pos  Pos
}

func (r *reader) parts(it unstable.Iterator, base int) []part {
	var ps []part
	for it.Next() {
		n := it.Node()
		ps = append(ps, part{string(n.Data), r.pos(base + int(n.Raw.Offset))})
	}
	return ps
}

func joined(ps []part) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = shown(p.name)
	}
	return strings.Join(names, ".")
}

// shown makes a key safe to print on one line.
func shown(name string) string {
	if name == "" {
		return `""`
	}
	for i := range len(name) {
		if !isBare(name[i]) {
			return clip(strconv.Quote(name))
		}
	}
	return clip(name)
}

// clip keeps what is quoted from a file short enough for a line.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:77], "") + "..."
}

// keyValue adds one key = value expression to a table.
func (r *reader) keyValue(g *group, n *unstable.Node, base int) {
	ps := r.parts(n.Key(), base)
	last := ps[len(ps)-1]
	for i, p := range ps[:len(ps)-1] {
		e := g.get(p.name)
		if e == nil {
			e = &entry{name: p.name, pos: p.pos, value: &value{kind: tableValue, pos: p.pos, table: newGroup(dotted)}}
			g.add(e)
		}
		if e.value.kind != tableValue || e.value.table.from == inline || e.value.table.from == headed {
			r.report(p.pos, joined(ps[:i+1]), fmt.Sprintf("cannot be extended with a dotted key: it is already written at line %d", e.pos.Line), "write the key in one place")
			return
		}
		g = e.value.table
	}
	v := r.value(n.Value(), base, last.pos)
	if e := g.get(last.name); e != nil {
		r.report(last.pos, joined(ps), fmt.Sprintf("written twice, first at line %d", e.pos.Line), "keep one of them")
		return
	}
	g.add(&entry{name: last.name, pos: last.pos, value: v})
}

// header opens a [table] or [[array of tables]].
func (r *reader) header(n *unstable.Node, base int) {
	ps := r.parts(n.Key(), base)
	g := r.root
	r.current = newGroup(headed) // keys of a header that cannot be opened go nowhere
	for i, p := range ps[:len(ps)-1] {
		e := g.get(p.name)
		if e == nil {
			e = &entry{name: p.name, pos: p.pos, value: &value{kind: tableValue, pos: p.pos, table: newGroup(implied)}}
			g.add(e)
		}
		switch {
		case e.value.kind == tableValue && e.value.table.from != inline:
			g = e.value.table
		case e.value.kind == arrayValue && e.value.headed:
			g = e.value.list[len(e.value.list)-1].table
		default:
			r.report(p.pos, joined(ps[:i+1]), fmt.Sprintf("is not a table that can hold more: it is written at line %d", e.pos.Line), "write the keys there")
			return
		}
	}
	last := ps[len(ps)-1]
	if n.Kind == unstable.ArrayTable {
		r.openElement(g, ps, last)
	} else {
		r.openTable(g, ps, last)
	}
}

func (r *reader) openElement(g *group, ps []part, last part) {
	element := &value{kind: tableValue, pos: last.pos, table: r.current}
	e := g.get(last.name)
	if e == nil {
		g.add(&entry{name: last.name, pos: last.pos, value: &value{kind: arrayValue, pos: last.pos, headed: true, list: []*value{element}}})
		return
	}
	if e.value.kind != arrayValue || !e.value.headed {
		r.report(last.pos, joined(ps), fmt.Sprintf("is written as [[%s]] here but otherwise at line %d", joined(ps), e.pos.Line), "use one form")
		return
	}
	e.value.list = append(e.value.list, element)
}

func (r *reader) openTable(g *group, ps []part, last part) {
	e := g.get(last.name)
	switch {
	case e == nil:
		g.add(&entry{name: last.name, pos: last.pos, value: &value{kind: tableValue, pos: last.pos, table: r.current}})
	case e.value.kind == tableValue && e.value.table.from == implied:
		e.value.table.from = headed
		e.pos, e.value.pos = last.pos, last.pos
		r.current = e.value.table
	case e.value.kind == arrayValue && e.value.headed:
		r.report(last.pos, joined(ps), fmt.Sprintf("is written as [%s] here but as [[%s]] at line %d", joined(ps), joined(ps), e.pos.Line), "use double brackets for each")
	case e.value.kind == tableValue && e.value.table.from != inline:
		r.report(last.pos, joined(ps), fmt.Sprintf("written twice, first at line %d", e.pos.Line), "join the two")
		r.current = e.value.table
	default:
		r.report(last.pos, joined(ps), fmt.Sprintf("written twice, first at line %d", e.pos.Line), "keep one of them")
	}
}

// value converts a node. The parser gives arrays no position; they take their key's.
func (r *reader) value(n *unstable.Node, base int, fallback Pos) *value {
	v := &value{pos: fallback, raw: string(n.Data)}
	if n.Raw.Length > 0 {
		v.pos = r.pos(base + int(n.Raw.Offset))
	}
	switch n.Kind {
	case unstable.String:
		v.kind, v.text = stringValue, string(n.Data)
	case unstable.Bool:
		v.kind, v.truth = boolValue, v.raw == "true"
	case unstable.Integer:
		r.integer(v)
	case unstable.Float:
		r.float(v)
	case unstable.Array:
		v.kind = arrayValue
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, r.value(it.Node(), base, v.pos))
		}
	case unstable.InlineTable:
		v.kind, v.table = tableValue, newGroup(dotted)
		for it := n.Children(); it.Next(); {
			r.keyValue(v.table, it.Node(), base)
		}
		v.table.from = inline
	default:
		v.kind = dateValue
	}
	return v
}

func (r *reader) integer(v *value) {
	i, err := strconv.ParseInt(strings.ReplaceAll(v.raw, "_", ""), 0, 64)
	if err != nil {
		r.report(v.pos, "", "the integer "+clip(v.raw)+" is too large", "TOML integers have 64 bits")
		return
	}
	v.kind, v.integer, v.float = integerValue, i, float64(i)
}

func (r *reader) float(v *value) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(v.raw, "_", ""), 64)
	if err != nil {
		r.report(v.pos, "", "the number "+clip(v.raw)+" is too large", "")
		return
	}
	v.kind, v.float = floatValue, f
}
