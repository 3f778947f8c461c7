package config

// key is one row of the table of keys: a key of a section T, what it takes and what its absence means.
type key[T any] struct {
	name string
	form string // the values it takes, in words
	doc  string

	initial  string // the default as TOML text; empty when the key has none
	meaning  string // what an absent key means where that is not a value
	theirs   string // ntpd-rs' default where it differs
	row      string // the row of docs/compatibility.md about that difference
	required bool
	modes    modeSet  // of the sources that take the key; zero for all
	spelled  []string // older spellings in the same table
	lacks    []lack[T]

	decode func(d *decoder, dst *T, path string, v *value)
	fill   func(dst *T)              // stores the defaults of a table of its own
	nested func(prefix string) []Row // the keys of a table of its own
}

// lack says which values of a key ask for something this version cannot do.
type lack[T any] struct {
	effect Effect
	text   string
	when   func(*T) bool
}

// The forms of keys that hold tables.
const (
	aTable = "table"
	tables = "array of tables"
)

// table is the keys of one section.
type table[T any] struct {
	keys  []*key[T]
	moded bool // the key "mode" decides which of the keys apply
}

// kind reads the values of one type.
type kind[V any] struct {
	form string
	read func(d *decoder, path string, v *value) (V, bool)
}

// val is a key that holds a plain value.
func val[T, V any](name string, k kind[V], field func(*T) *V, doc string) *key[T] {
	return &key[T]{name: name, form: k.form, doc: doc, decode: func(d *decoder, dst *T, path string, v *value) {
		if x, ok := k.read(d, path, v); ok {
			*field(dst) = x
		}
	}}
}

// sub is a key that holds a table.
func sub[T, S any](name string, t *table[S], field func(*T) *S, doc string) *key[T] {
	return &key[T]{
		name: name, form: aTable, doc: doc,
		decode: func(d *decoder, dst *T, path string, v *value) {
			if v.kind != tableValue {
				d.mismatch(path, v, "a table", "write ["+path+"]")
				return
			}
			decodeTable(d, t, field(dst), path, v)
		},
		fill:   func(dst *T) { fill(t, field(dst), 0) },
		nested: func(prefix string) []Row { return rows(t, prefix+name+".") },
	}
}

// list is a key that holds an array of tables.
func list[T, S any](name string, t *table[S], field func(*T) *[]S, doc string) *key[T] {
	return &key[T]{
		name: name, form: tables, doc: doc,
		decode: func(d *decoder, dst *T, path string, v *value) {
			if v.kind != arrayValue {
				d.mismatch(path, v, "an array of tables", "write [["+path+"]] with double brackets")
				return
			}
			for _, e := range v.list {
				if e.kind != tableValue {
					d.mismatch(path, e, "a table", "write [["+path+"]]")
					continue
				}
				var s S
				decodeTable(d, t, &s, path, e)
				*field(dst) = append(*field(dst), s)
			}
		},
		nested: func(prefix string) []Row { return rows(t, prefix+name+".") },
	}
}

// The methods of a key are the words that the tables of keys are written in.

func (k *key[T]) must() *key[T]                 { k.required = true; return k }
func (k *key[T]) otherwise(toml string) *key[T] { k.initial = toml; return k }
func (k *key[T]) unset(meaning string) *key[T]  { k.meaning = meaning; return k }
func (k *key[T]) only(modes ...Mode) *key[T]    { k.modes = setOf(modes...); return k }
func (k *key[T]) once(old ...string) *key[T]    { k.spelled = old; return k }

func (k *key[T]) differs(theirs, row string) *key[T] {
	k.theirs, k.row = theirs, row
	return k
}

func (k *key[T]) unbuilt(effect Effect, text string, when func(*T) bool) *key[T] {
	k.lacks = append(k.lacks, lack[T]{effect, text, when})
	return k
}

// always is for keys that ask for something unbuilt whatever their value.
func always[T any](*T) bool { return true }

// A Row describes one key, for documentation.
type Row struct {
	Key      string // its path
	Form     string
	Default  string // as TOML where Literal, else what absence means
	Literal  bool
	Theirs   string // ntpd-rs' default where it differs
	Row      string // the row of docs/compatibility.md about that difference
	Required bool
	Modes    []Mode // the modes of source that take it; empty for all
	Spelled  []string
	Lacks    []string // what of it is not built yet
	Doc      string
}

// Keys lists every key of ntp.toml.
func Keys() []Row { return rows(&daemonTable, "") }

// PoolKeys lists every key of pool.toml.
func PoolKeys() []Row { return rows(&poolTable, "") }

func rows[T any](t *table[T], prefix string) []Row {
	var all []Row
	for _, k := range t.keys {
		r := Row{
			Key: prefix + k.name, Form: k.form, Default: k.initial, Literal: k.initial != "", Theirs: k.theirs, Row: k.row,
			Required: k.required, Modes: k.modes.list(), Spelled: k.spelled, Doc: k.doc,
		}
		if r.Default == "" {
			r.Default = k.meaning
		}
		for _, l := range k.lacks {
			r.Lacks = append(r.Lacks, l.text)
		}
		all = append(all, r)
		if k.nested != nil {
			all = append(all, k.nested(prefix)...)
		}
	}
	return all
}
