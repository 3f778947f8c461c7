package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// reader builds the tree of one document.
type reader struct {
	name     string
	data     []byte
	lines    []int // offsets of line starts
	root     *group
	current  *group // the table that key = value lines go to
	section  string // its path
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
			r.keyValue(r.current, n, r.section, base)
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
	r.current.broken = true
	return r.goOn(bad.Message, base, done, at)
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

// keyValue adds one key = value expression to the table at path.
func (r *reader) keyValue(g *group, n *unstable.Node, path string, base int) {
	ps := r.parts(n.Key(), base)
	last := ps[len(ps)-1]
	for i, p := range ps[:len(ps)-1] {
		e := g.get(p.name)
		if e == nil {
			e = &entry{name: p.name, pos: p.pos, value: &value{kind: tableValue, pos: p.pos, table: newGroup(dotted)}}
			g.add(e)
		}
		if e.value.kind != tableValue || e.value.table.from == inline || e.value.table.from == headed {
			r.report(p.pos, dot(path, joined(ps[:i+1])), fmt.Sprintf("cannot be extended with a dotted key: it is already written at line %d", e.pos.Line), "write the key in one place")
			return
		}
		g = e.value.table
	}
	path = dot(path, joined(ps))
	v := r.value(n.Value(), path, base, last.pos)
	if e := g.get(last.name); e != nil {
		r.report(last.pos, path, fmt.Sprintf("written twice, first at line %d", e.pos.Line), "keep one of them")
		return
	}
	g.add(&entry{name: last.name, pos: last.pos, value: v})
}

// header opens a [table] or [[array of tables]].
func (r *reader) header(n *unstable.Node, base int) {
	ps := r.parts(n.Key(), base)
	g := r.root
	r.section = joined(ps)
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
func (r *reader) value(n *unstable.Node, path string, base int, fallback Pos) *value {
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
		r.integer(v, path)
	case unstable.Float:
		r.float(v, path)
	case unstable.Array:
		v.kind = arrayValue
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, r.value(it.Node(), path, base, v.pos))
		}
	case unstable.InlineTable:
		v.kind, v.table = tableValue, newGroup(dotted)
		for it := n.Children(); it.Next(); {
			r.keyValue(v.table, it.Node(), path, base)
		}
		v.table.from = inline
	default:
		v.kind = dateValue
	}
	return v
}

func (r *reader) integer(v *value, path string) {
	i, err := strconv.ParseInt(strings.ReplaceAll(v.raw, "_", ""), 0, 64)
	if err != nil {
		r.report(v.pos, path, "the integer "+clip(v.raw)+" is too large", "TOML integers have 64 bits")
		return
	}
	v.kind, v.integer, v.float = integerValue, i, float64(i)
}

func (r *reader) float(v *value, path string) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(v.raw, "_", ""), 64)
	if err != nil {
		r.report(v.pos, path, "the number "+clip(v.raw)+" is too large", "")
		return
	}
	v.kind, v.float = floatValue, f
}
