package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// A Violation is a place that does not keep to the plan.
type Violation struct {
	File string
	Line int
	Text string
}

func (v Violation) String() string { return fmt.Sprintf("%s:%d: %s", v.File, v.Line, v.Text) }

// checker collects violations.
type checker struct {
	*Tree
	found []Violation
}

func (c *checker) at(file string, line int, format string, args ...any) {
	c.found = append(c.found, Violation{file, line, fmt.Sprintf(format, args...)})
}

func (c *checker) node(f *File, n ast.Node, format string, args ...any) {
	c.at(f.Name, c.fset.Position(n.Pos()).Line, format, args...)
}

// Check returns what in a module violates the rules, in the order of files
// and lines.
func Check(t *Tree) []Violation {
	c := &checker{Tree: t}
	for _, f := range t.Files {
		rule, ok := ruleFor(f.Package)
		if !ok {
			c.at(f.Name, 1, "package %s has no rule in internal/archtest", f.Package)
			continue
		}
		c.imports(f, rule)
		if !f.Test {
			c.calls(f, rule)
		}
	}
	c.comments()
	c.closures()
	c.requirements()
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return c.found
}

// imports checks what a file imports.
func (c *checker) imports(f *File, rule Rule) {
	for _, i := range f.Imports {
		own, internal := c.own(i.Path)
		switch {
		case internal:
			if !f.Test && !matches(own, rule.Internal) {
				c.at(f.Name, i.Line, "%s must not import %s", f.Package, own)
			}
		case standard(i.Path):
			c.standard(f, rule, i)
		default:
			c.dependency(f, i)
		}
		if i.Name == "." {
			c.at(f.Name, i.Line, "a dot import hides what is used of %s", i.Path)
		}
	}
}

func (c *checker) standard(f *File, rule Rule, i Import) {
	switch {
	case f.Test:
	case rule.Pure && !PureStd[i.Path] && !matches(i.Path, rule.Std):
		c.at(f.Name, i.Line, "%s is pure and must not import %s", f.Package, i.Path)
	case i.Path == "testing" && !rule.Testing:
		c.at(f.Name, i.Line, "only tests import testing")
	}
}

func (c *checker) dependency(f *File, i Import) {
	for _, d := range Dependencies {
		if !covers(d.Module+"/...", i.Path) {
			continue
		}
		if !matches(f.Package, d.Rooms) && !(f.Test && d.Tests) {
			c.at(f.Name, i.Line, "%s is not for %s", d.Module, place(f))
		}
		return
	}
	c.at(f.Name, i.Line, "%s is not an approved dependency: it needs a record in docs/adr", i.Path)
}

func place(f *File) string {
	if f.Test {
		return "the tests of " + f.Package
	}
	return f.Package
}

// calls checks what the code of a file that is not a test uses.
func (c *checker) calls(f *File, rule Rule) {
	imports := map[string]string{}
	for _, i := range f.Imports {
		imports[i.Name] = i.Path
	}
	mayEnd := f.File.Name.Name == "main" || rule.Exits
	ast.Inspect(f.File, func(n ast.Node) bool {
		c.seams(f, n, imports)
		switch n := n.(type) {
		case *ast.GoStmt:
			if rule.Pure {
				c.node(f, n, "%s is pure and must not start goroutines", f.Package)
			}
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			if rule.Pure {
				c.node(f, n, "%s is pure and must not use channels", f.Package)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Obj == nil && (id.Name == "print" || id.Name == "println") {
				c.node(f, n, "%s writes to standard error", id.Name)
			}
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if !ok || id.Obj != nil { // a variable
				return true
			}
			if from, ok := imports[id.Name]; ok {
				c.use(f, rule, n, from, mayEnd)
			}
		}
		return true
	})
}

// use checks one use of something that is imported.
func (c *checker) use(f *File, rule Rule, n *ast.SelectorExpr, from string, mayEnd bool) {
	name := n.Sel.Name
	switch {
	case rule.Pure && from == "time" && Clocks[name]:
		c.node(f, n, "%s is pure and must not use time.%s: time is an argument", f.Package, name)
	case rule.Pure && from == "fmt" && Output[name]:
		c.node(f, n, "%s is pure and must not use fmt.%s", f.Package, name)
	case rule.Exact && from == "math" && !ExactMath[name]:
		c.node(f, n, "math.%s differs between architectures: use proto/exact", name)
	case !mayEnd && Endings[from+"."+name]:
		c.node(f, n, "only main ends the process: %s.%s", from, name)
	}
}

// comments checks that each package says what it is for.
func (c *checker) comments() {
	first := map[string]*File{}
	said := map[string]bool{}
	for _, f := range c.Files {
		if first[f.Package] == nil {
			first[f.Package] = f
		}
		name := strings.TrimSuffix(f.File.Name.Name, "_test")
		want := []string{"Package " + f.File.Name.Name + " ", "Package " + name + " "}
		if name == "main" {
			want = []string{"Command ", "Program "}
		}
		for _, w := range want {
			said[f.Package] = said[f.Package] || strings.HasPrefix(f.Doc.Text(), w)
		}
	}
	for pkg, f := range first {
		if !said[pkg] {
			c.at(f.Name, c.fset.Position(f.File.Package).Line, "package %s has no package comment", pkg)
		}
	}
}

// closures checks what the commands are linked with, by way of other packages
// of the module.
func (c *checker) closures() {
	for command, forbidden := range Nowhere {
		seen := map[string]bool{}
		todo := []string{command}
		for len(todo) > 0 {
			pkg := todo[0]
			todo = todo[1:]
			if seen[pkg] {
				continue
			}
			seen[pkg] = true
			for _, f := range c.Files {
				if f.Package == pkg && !f.Test {
					todo = append(todo, c.linked(f, command, forbidden)...)
				}
			}
		}
	}
}

// linked checks one file that is linked into a command and returns the
// packages that come with it.
func (c *checker) linked(f *File, command string, forbidden []string) (more []string) {
	for _, i := range f.Imports {
		own, internal := c.own(i.Path)
		if !internal {
			own = i.Path
		} else {
			more = append(more, own)
		}
		if matches(own, forbidden) {
			c.at(f.Name, i.Line, "%s must not be linked with %s", command, own)
		}
	}
	return more
}

// requirements checks that go.mod requires directly what is imported, and
// nothing else.
func (c *checker) requirements() {
	for _, r := range c.Requires {
		used := c.imported(r.Module)
		switch {
		case used && r.Indirect:
			c.at("go.mod", r.Line, "%s is imported and not indirect", r.Module)
		case !used && !r.Indirect:
			c.at("go.mod", r.Line, "%s is not imported", r.Module)
		}
	}
}

func (c *checker) imported(module string) bool {
	return slices.ContainsFunc(c.Files, func(f *File) bool {
		return slices.ContainsFunc(f.Imports, func(i Import) bool { return covers(module+"/...", i.Path) })
	})
}

// Idle returns the rules and approvals for which there is no package: the
// table must not promise what does not exist.
func Idle(t *Tree) (idle []string) {
	packages := t.Packages()
	for _, r := range Rooms {
		if !slices.ContainsFunc(packages, func(p string) bool { return covers(r.Package, p) }) {
			idle = append(idle, r.Package)
		}
	}
	return idle
}

// Upwards returns the rules that allow an import of a package that does not
// stand above it in the list.
func Upwards() (bad []string) {
	for i, r := range Rooms {
		for _, p := range r.Internal {
			for j, other := range Rooms {
				if j > i && covers(p, other.Package) && !covers(p, r.Package) {
					bad = append(bad, r.Package+" → "+other.Package)
				}
			}
		}
	}
	return bad
}
