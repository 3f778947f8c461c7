package config

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
