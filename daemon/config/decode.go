package config

import (
	"fmt"
	"strconv"
)

// Table is what every section of a Config knows about its place in the file.
type Table struct {
	// Pos is where the section begins; not valid for a section that is not in the file.
	Pos    Pos
	places map[string]Pos
}

func (t *Table) origin() *Table { return t }

// Has reports whether a key of the section is written in the file.
func (t *Table) Has(key string) bool { return t.places[key].IsValid() }

// At gives the place of a key, or of the section when the key is not written.
func (t *Table) At(key string) Pos {
	if p := t.places[key]; p.IsValid() {
		return p
	}
	return t.Pos
}

type section interface{ origin() *Table }

// decoder collects what is found on the way.
type decoder struct {
	problems Problems
	warnings []Warning
	unbuilt  []Unbuilt
	homes    map[string]string // key name → a section that has it, to say where a misplaced key belongs
	presets  bool              // reading a default, which has no place in the file
}

func (d *decoder) problem(pos Pos, key, text, hint string) {
	d.problems = append(d.problems, Problem{Pos: pos, Key: key, Text: text, Hint: hint})
}

func (d *decoder) warn(pos Pos, key, text string) {
	d.warnings = append(d.warnings, Warning{Pos: pos, Key: key, Text: text})
}

// mismatch reports a value of the wrong type. It is silent about a value whose text was already reported.
func (d *decoder) mismatch(path string, v *value, want, hint string) {
	if v.kind == badValue {
		return
	}
	found := v.kind.String()
	switch v.kind {
	case stringValue:
		found += " " + quoted(v.text)
	case integerValue, floatValue, boolValue:
		found = clip(v.raw)
	}
	d.problem(v.pos, path, "expected "+want+", found "+found, hint)
}

// reading is the state of one table while it is decoded.
type reading[T any] struct {
	*decoder
	table   *table[T]
	path    string
	mode    Mode
	seen    map[*key[T]]*entry
	guessed map[*key[T]]bool // keys that something unknown was probably meant as
}

// decodeTable reads a table of the file into dst: it stores defaults, decodes what is written, and reports what is
// unknown, doubled, missing or misplaced. It reports whether all of it was good.
func decodeTable[T any](d *decoder, t *table[T], dst *T, path string, v *value) bool {
	before := len(d.problems)
	r := reading[T]{d, t, path, 0, map[*key[T]]*entry{}, map[*key[T]]bool{}}
	if t.moded {
		r.mode = modeIn(v.table)
	}
	fill(t, dst, r.mode)
	places := map[string]Pos{}
	for _, e := range v.table.entries {
		k := r.match(e)
		if k == nil {
			continue
		}
		if first := r.seen[k]; first != nil {
			d.problem(e.pos, dot(path, k.name), fmt.Sprintf("written in two spellings, %s at line %d and %s at line %d",
				first.spelling(), first.pos.Line, e.spelling(), e.pos.Line), "keep only "+k.name)
			var unused T
			k.decode(d, &unused, dot(path, k.name), e.value) // for what is wrong in there
			continue
		}
		r.seen[k] = e
		places[k.name] = e.pos
		k.decode(d, dst, dot(path, k.name), e.value)
	}
	if s, ok := any(dst).(section); ok && !d.presets {
		*s.origin() = Table{Pos: v.pos, places: places}
	}
	r.requireAll(v)
	if len(d.problems) > before {
		return false
	}
	r.nameUnbuilt(dst)
	return true
}

// requireAll reports required keys that are absent. A table with an unreadable line is spared: the key may be on it.
func (r *reading[T]) requireAll(v *value) {
	if v.table.broken {
		return
	}
	for _, k := range r.table.keys {
		applies := k.modes == 0 || r.mode != 0 && k.modes.has(r.mode)
		if k.required && applies && r.seen[k] == nil && !r.guessed[k] {
			hint := "add " + k.name + " = " + k.form
			switch k.form {
			case aTable:
				hint = "add [" + dot(r.path, k.name) + "]"
			case tables:
				hint = "add [[" + dot(r.path, k.name) + "]]"
			}
			r.problem(v.pos, dot(r.path, k.name), "is missing", hint)
		}
	}
}

func (r *reading[T]) nameUnbuilt(dst *T) {
	for _, k := range r.table.keys {
		e := r.seen[k]
		if e == nil {
			continue
		}
		for _, l := range k.lacks {
			if l.when(dst) {
				r.unbuilt = append(r.unbuilt, Unbuilt{Pos: e.pos, Key: dot(r.path, k.name), Text: l.text, Effect: l.effect})
			}
		}
	}
}

// fill stores the defaults of a table.
func fill[T any](t *table[T], dst *T, mode Mode) {
	for _, k := range t.keys {
		if !k.modes.has(mode) {
			continue
		}
		if k.initial != "" {
			preset(k, dst)
		} else if k.fill != nil {
			k.fill(dst)
		}
	}
}

// preset decodes the text of a default. The texts are constants of the schema, so a bad one is a bug.
func preset[T any](k *key[T], dst *T) {
	root, problems := readTree("", []byte("v = "+k.initial+"\n"))
	d := &decoder{problems: problems, presets: true}
	if e := root.get("v"); e != nil {
		k.decode(d, dst, k.name, e.value)
	}
	if len(d.problems) > 0 {
		panic("config: default of " + k.name + ": " + d.problems.Error())
	}
}

func dot(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// spelling is how the key stands in the file.
func (e *entry) spelling() string {
	if e.was != "" {
		return e.was
	}
	return shown(e.name)
}

func quoted(s string) string { return clip(strconv.Quote(s)) }
