package archtest

import (
	"go/ast"
	"slices"
)

// A Seam is a field that is there for tests, and that other code must not set.
type Seam struct{ Package, Type, Field string }

// Seams are all of them. Whoever replaced the handshake of a key exchange would
// take the certificates away with it.
var Seams = []Seam{{"nts/ke", "Client", "Handshake"}}

// seams checks a node of a file that is not a test. An assignment does not show
// the type, so that the name of the field must do.
func (c *checker) seams(f *File, n ast.Node, imports map[string]string) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			sel, ok := left.(*ast.SelectorExpr)
			if ok && slices.ContainsFunc(Seams, func(s Seam) bool { return s.Field == sel.Sel.Name }) {
				c.node(f, sel, "only tests set %s", sel.Sel.Name)
			}
		}
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			pair, ok := element.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, ok := pair.Key.(*ast.Ident)
			if ok && slices.Contains(Seams, Seam{c.from(f, n.Type, imports), typeName(n.Type), key.Name}) {
				c.node(f, pair, "only tests set %s", key.Name)
			}
		}
	}
}

// from is the package of the module in which a type is declared.
func (c *checker) from(f *File, t ast.Expr, imports map[string]string) string {
	sel, ok := t.(*ast.SelectorExpr)
	if !ok {
		return f.Package
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	own, _ := c.own(imports[id.Name])
	return own
}

func typeName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.SelectorExpr:
		return t.Sel.Name
	default:
		return ""
	}
}
