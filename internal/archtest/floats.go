package archtest

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/token"
	"go/types"
	"math"
	"strings"
)

// Unrounded returns the products of floating-point numbers in exact code that
// are summed without having been rounded. "An implementation may combine
// multiple floating-point operations into a single fused operation, possibly
// across statements, and produce a result that differs from the value obtained
// by executing and rounding the instructions individually. An explicit
// floating-point type conversion rounds to the precision of the target type,
// preventing fusion" (The Go Programming Language Specification, Floating-point
// operators). Architectures differ in whether they do.
//
// It sees a product that is an operand of the sum. A constant power of two as
// a factor needs no rounding.
func Unrounded(t *Tree) ([]Violation, error) {
	c := &checker{Tree: t}
	im := &sources{tree: t, std: importer.ForCompiler(t.fset, "source", nil), done: map[string]*types.Package{}}
	for _, r := range Rooms {
		if !r.Exact {
			continue
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		if _, err := im.check(r.Package, info); err != nil {
			return nil, err
		}
		for _, f := range im.files(r.Package) {
			c.products(f, info)
		}
	}
	return c.found, nil
}

// products reports the products in a file that are summed as they are.
func (c *checker) products(f *File, info *types.Info) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		for _, operand := range summed(n) {
			b, ok := bare(operand).(*ast.BinaryExpr)
			if ok && b.Op == token.MUL && isFloat(info, b) && !doubles(info, b.X) && !doubles(info, b.Y) {
				c.node(f, b, "a product that may be fused with the sum: write float64(a * b)")
			}
		}
		return true
	})
}

// summed are the operands of a node that adds or subtracts.
func summed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.ADD || n.Op == token.SUB {
			return []ast.Expr{n.X, n.Y}
		}
	case *ast.AssignStmt:
		if n.Tok == token.ADD_ASSIGN || n.Tok == token.SUB_ASSIGN {
			return n.Rhs
		}
	}
	return nil
}

// bare takes parentheses and signs off an expression.
func bare(e ast.Expr) ast.Expr {
	for {
		switch inner := e.(type) {
		case *ast.ParenExpr:
			e = inner.X
		case *ast.UnaryExpr:
			e = inner.X
		default:
			return e
		}
	}
}

// doubles reports whether an expression is a constant power of two: to
// multiply by it is exact.
func doubles(info *types.Info, e ast.Expr) bool {
	v := info.Types[e].Value
	if v == nil {
		return false
	}
	f, _ := constant.Float64Val(constant.ToFloat(v))
	fraction, _ := math.Frexp(f)
	return math.Abs(fraction) == 0.5
}

// isFloat reports whether an expression is computed in floating point when the
// program runs.
func isFloat(info *types.Info, e ast.Expr) bool {
	tv := info.Types[e]
	if tv.Type == nil || tv.Value != nil {
		return false
	}
	b, ok := tv.Type.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsFloat != 0
}

// sources imports packages from source: those of the module out of the tree,
// the standard library's out of GOROOT.
type sources struct {
	tree *Tree
	std  types.Importer
	done map[string]*types.Package
}

// Import implements types.Importer.
func (s *sources) Import(path string) (*types.Package, error) {
	own, internal := s.tree.own(path)
	if !internal {
		if standard(path) {
			return s.std.Import(path)
		}
		// Dependencies are not looked at; the name will do.
		return types.NewPackage(path, path[strings.LastIndex(path, "/")+1:]), nil
	}
	return s.check(own, nil)
}

func (s *sources) files(pkg string) (files []*File) {
	for _, f := range s.tree.Files {
		if f.Package == pkg && !f.Test && f.Built {
			files = append(files, f)
		}
	}
	return files
}

func (s *sources) check(pkg string, info *types.Info) (*types.Package, error) {
	if p := s.done[pkg]; p != nil && info == nil {
		return p, nil
	}
	var parsed []*ast.File
	for _, f := range s.files(pkg) {
		parsed = append(parsed, f.File)
	}
	cfg := types.Config{Importer: s}
	if s.foreign(pkg) {
		cfg.Error = func(error) {} // the rest of the package is checked all the same
	}
	p, err := cfg.Check(s.tree.Module+"/"+pkg, s.tree.fset, parsed, info)
	if err != nil && cfg.Error == nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	s.done[pkg] = p
	return p, nil
}

// foreign reports whether a package imports a dependency, of which nothing is
// known here.
func (s *sources) foreign(pkg string) bool {
	for _, f := range s.files(pkg) {
		for _, i := range f.Imports {
			if _, internal := s.tree.own(i.Path); !internal && !standard(i.Path) {
				return true
			}
		}
	}
	return false
}
