package config

import (
	"slices"
	"strings"
)

func dashed(s string) string { return strings.ReplaceAll(s, "_", "-") }

// match finds the key that an entry is about, in whatever spelling. Where there is none it reports that.
func (r *reading[T]) match(e *entry) *key[T] {
	k, old := r.find(e.name)
	if k == nil {
		r.unknown(e)
		return nil
	}
	if !k.modes.has(r.mode) {
		r.problem(e.pos, dot(r.path, k.name), `does not belong to mode "`+r.mode.String()+`"`,
			"it is a key of mode "+quotedModes(k.modes.list()))
		return nil
	}
	if e.was != "" { // moved here from another table
		r.warn(e.pos, dot(r.path, k.name), e.was+" is an older spelling; write "+dot(r.path, k.name))
	} else if old {
		r.warn(e.pos, dot(r.path, k.name), shown(e.name)+" is an older spelling; write "+k.name)
	}
	return k
}

// find looks a name up: exactly (keys are case-sensitive), among older spellings, then with dashes for underscores.
func (r *reading[T]) find(name string) (k *key[T], old bool) {
	for _, n := range []string{name, dashed(name)} {
		for _, k := range r.table.keys {
			if k.name == n {
				return k, n != name
			}
		}
		for _, k := range r.table.keys {
			if slices.Contains(k.spelled, n) {
				return k, true
			}
		}
	}
	return nil, false
}

// unknown reports a key that does not exist, with the best advice there is.
func (r *reading[T]) unknown(e *entry) {
	path := dot(r.path, e.spelling())
	if hint := retired[path]; hint != "" {
		r.problem(e.pos, path, "is a key of versions before 1.0", hint)
		return
	}
	if k := r.nearest(e.name); k != nil {
		r.guessed[k] = true
		hint := "did you mean " + k.name + "?"
		if strings.EqualFold(k.name, e.name) {
			hint = "keys are case-sensitive: write " + k.name
		}
		r.problem(e.pos, path, "unknown key", hint)
		return
	}
	if home := r.homes[dashed(e.name)]; home != "" && home != r.path {
		r.problem(e.pos, path, "unknown key", "it belongs in "+home)
		return
	}
	r.problem(e.pos, path, "unknown key", "known here: "+strings.Join(r.names(), ", "))
}

func (r *reading[T]) names() []string {
	var names []string
	for _, k := range r.table.keys {
		if k.modes.has(r.mode) {
			names = append(names, k.name)
		}
	}
	return names
}

// nearest gives the key that a misspelt name is closest to: at most a third of its letters, and never more than four,
// may differ.
func (r *reading[T]) nearest(name string) *key[T] {
	name = strings.ToLower(dashed(name))
	limit := min(max(len(name)/3, 1), 4)
	var best *key[T]
	for _, k := range r.table.keys {
		if !k.modes.has(r.mode) {
			continue
		}
		if n := distance(name, k.name, limit); n <= limit {
			best, limit = k, n-1
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of neighbours between two words; anything above
// limit is the same to it.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
