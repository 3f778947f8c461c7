package config

import "fmt"

// This file brings files of older versions into today's shape where a name alone does not do it. Plain renames are in
// the table of keys (once); what is here moved to another table or changed form. Every change leaves a warning.

// retired are keys that were dropped without a successor of the same kind.
var retired = map[string]string{
	"configure":                           "the configuration socket is gone: remove the table",
	"observability.configure-path":        "the configuration socket is gone: remove the key",
	"observability.configure-permissions": "the configuration socket is gone: remove the key",
	"log-filter":                          "write log-level in [observability]",
	"log-format":                          "remove it: there is one format",
	"observability.log-filter":            "write log-level",
	"observability.log-format":            "remove it: there is one format",
}

// modernise rewrites the tree in place.
func (d *decoder) modernise(root *group) {
	for _, name := range []string{"system", "synchronization"} {
		if g := tableAt(root, name); g != nil {
			d.modernSynchronization(root, name, g)
		}
	}
	for _, name := range []string{"nts-ke", "nts-ke-server", "nts_ke", "nts_ke_server"} {
		if e := root.get(name); e != nil && e.value.kind == tableValue {
			d.warn(e.pos, "nts-ke-server", "["+name+"] is an older form; write [[nts-ke-server]]")
			e.value = &value{kind: arrayValue, pos: e.value.pos, list: []*value{e.value}}
		}
	}
	for _, name := range []string{"source", "sources", "peer", "peers"} {
		for _, g := range elementsAt(root, name) {
			d.modernSource(g, name)
		}
	}
	for _, name := range []string{"server", "servers"} {
		for _, g := range elementsAt(root, name) {
			d.modernAccess(g.table, "allowlist", "ignore")
			d.modernAccess(g.table, "denylist", "deny")
		}
	}
}

// tableAt gives the table of a name, or nil.
func tableAt(g *group, name string) *group {
	if e := g.get(name); e != nil && e.value.kind == tableValue {
		return e.value.table
	}
	return nil
}

// elementsAt gives the tables in an array of tables.
func elementsAt(g *group, name string) []*value {
	e := g.get(name)
	if e == nil || e.value.kind != arrayValue {
		return nil
	}
	var tables []*value
	for _, v := range e.value.list {
		if v.kind == tableValue {
			tables = append(tables, v)
		}
	}
	return tables
}

// modernSynchronization moves the keys of polling, and those of the algorithm, to the tables they have today.
func (d *decoder) modernSynchronization(root *group, name string, g *group) {
	polling := reading[SourceDefaults]{decoder: d, table: &sourceDefaultsTable}
	tuning := reading[Algorithm]{decoder: d, table: &algorithmTable}
	for _, e := range append([]*entry(nil), g.entries...) {
		if k, _ := polling.find(e.name); k != nil && k.name != dashed(e.name) {
			d.move(e, g, name, root, "source-defaults", k.name)
		} else if k, _ := tuning.find(e.name); k != nil {
			d.move(e, g, name, g, "algorithm", k.name)
		}
	}
}

// move takes an entry of the table at path and puts it, under its new name, into the table that parent has under home.
// A value that is already there is left alone and reported.
func (d *decoder) move(e *entry, from *group, path string, parent *group, home, name string) {
	from.remove(e)
	written := dot(path, shown(e.name))
	h := parent.get(home)
	if h == nil {
		h = &entry{name: home, pos: e.pos, value: &value{kind: tableValue, pos: e.pos, table: newGroup(implied)}}
		parent.add(h)
	}
	if h.value.kind != tableValue { // reported when it is decoded
		return
	}
	if there := h.value.table.get(name); there != nil {
		d.problem(e.pos, written, fmt.Sprintf("written in two spellings, %s at line %d and %s at line %d",
			written, e.pos.Line, dot(home, there.spelling()), there.pos.Line), "keep only "+name+" in "+home)
		return
	}
	h.value.table.add(&entry{name: name, was: written, pos: e.pos, value: e.value})
}

// oldModes are the names of modes before 1.0.
var oldModes = map[string]string{"Server": "server", "NtsServer": "nts", "nts-server": "nts", "Pool": "pool"}

// modernSource supplies the mode that a [[peer]] could leave out, and translates the old names of modes.
func (d *decoder) modernSource(v *value, name string) {
	e := v.table.get("mode")
	if e == nil {
		if (name == "peer" || name == "peers") && !v.table.broken {
			d.warn(v.pos, "source.mode", `a [[`+name+`]] without a mode is an older form; write mode = "server"`)
			v.table.add(&entry{name: "mode", pos: v.pos, value: &value{kind: stringValue, pos: v.pos, text: "server"}})
		}
		return
	}
	if today := oldModes[e.value.text]; e.value.kind == stringValue && today != "" {
		d.warn(e.value.pos, "source.mode", quoted(e.value.text)+` is an older name; write "`+today+`"`)
		e.value.text = today
	}
}

// modernAccess joins allowlist = [ … ] and allowlist-action into one table, and writes actions in lower case.
func (d *decoder) modernAccess(g *group, name, action string) {
	e, old := g.get(name), g.get(name+"-action")
	if old == nil {
		old = g.get(name + "_action")
	}
	if e != nil && e.value.kind == tableValue {
		if a := e.value.table.get("action"); a != nil {
			d.lower(a.value, "server."+name+".action")
		}
		return // and an old action beside it is an unknown key
	}
	if e == nil || e.value.kind != arrayValue {
		return
	}
	t := newGroup(implied)
	t.add(&entry{name: "filter", pos: e.pos, value: e.value})
	a := &value{kind: stringValue, pos: e.pos, text: action}
	if old != nil {
		g.remove(old)
		a = old.value
		d.lower(a, "server."+name+".action")
	}
	t.add(&entry{name: "action", pos: a.pos, value: a})
	d.warn(e.pos, "server."+name, "a bare list is an older form; write "+name+` = { filter = [ … ], action = "`+a.text+`" }`)
	e.value = &value{kind: tableValue, pos: e.pos, table: t}
}

func (d *decoder) lower(v *value, path string) {
	today := map[string]string{"Ignore": "ignore", "Deny": "deny"}[v.text]
	if v.kind == stringValue && today != "" {
		d.warn(v.pos, path, quoted(v.text)+` is an older spelling; write "`+today+`"`)
		v.text = today
	}
}
