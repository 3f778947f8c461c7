package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Tree is the source of a module.
type Tree struct {
	Module   string
	Requires []Require // of go.mod
	Files    []*File
	fset     *token.FileSet
}

// Require is one module that go.mod requires.
type Require struct {
	Module   string
	Line     int
	Indirect bool
}

// File is one Go file.
type File struct {
	Name    string // from the module's root
	Package string // its directory
	Test    bool
	Built   bool // for Linux on amd64; another file may declare the same for others
	Imports []Import
	*ast.File
}

// Import is one import of a file.
type Import struct {
	Path string
	Name string // by which the file calls it; "." and "_" too
	Line int
}

// Load parses all Go files of a module, whatever system they are built for.
// Directories that the go command ignores are left out.
func Load(module fs.FS) (*Tree, error) {
	mod, err := fs.ReadFile(module, "go.mod")
	if err != nil {
		return nil, err
	}
	t := &Tree{fset: token.NewFileSet()}
	t.Module, t.Requires = parseMod(string(mod))
	return t, fs.WalkDir(module, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skip(module, name)
		case path.Ext(name) != ".go":
			return nil
		}
		return t.parse(module, name)
	})
}

// skip leaves out what is not part of the module.
func skip(module fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	_, err := fs.Stat(module, path.Join(dir, "go.mod"))
	if err == nil || base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) parse(module fs.FS, name string) error {
	src, err := fs.ReadFile(module, name)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(t.fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	built, err := builtHere(name, src)
	if err != nil {
		return err
	}
	f := &File{Name: name, Package: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"), Built: built, File: parsed}
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		i := Import{Path: p, Name: path.Base(p), Line: t.fset.Position(spec.Pos()).Line}
		if major, ok := strings.CutPrefix(i.Name, "v"); ok && strings.Trim(major, "0123456789") == "" {
			i.Name = path.Base(path.Dir(p)) // math/rand/v2 is rand
		}
		if spec.Name != nil {
			i.Name = spec.Name.Name
		}
		f.Imports = append(f.Imports, i)
	}
	t.Files = append(t.Files, f)
	return nil
}

// parseMod reads the module path and the requirements of a go.mod file.
func parseMod(src string) (module string, requires []Require) {
	block := false
	for i, line := range strings.Split(src, "\n") {
		code, comment, _ := strings.Cut(line, "//")
		f := strings.Fields(code)
		switch {
		case len(f) == 2 && f[0] == "module":
			module = f[1]
		case len(f) == 2 && f[0] == "require" && f[1] == "(":
			block = true
			continue
		case len(f) == 1 && f[0] == ")":
			block = false
		case len(f) == 3 && f[0] == "require":
			f = f[1:]
			fallthrough
		case block && len(f) == 2:
			requires = append(requires, Require{Module: f[0], Line: i + 1, Indirect: strings.TrimSpace(comment) == "indirect"})
		}
	}
	return module, requires
}

// Packages are the directories that hold Go files, sorted.
func (t *Tree) Packages() []string {
	var dirs []string
	for _, f := range t.Files {
		dirs = append(dirs, f.Package)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// own cuts the module's path off an import; false for an import from
// elsewhere.
func (t *Tree) own(imported string) (string, bool) {
	if imported == t.Module {
		return ".", true
	}
	return strings.CutPrefix(imported, t.Module+"/")
}

// standard reports whether an import is of the standard library: no dot in
// its first element.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// builtHere reports whether the name of a file and its build constraints let it
// be built for Linux on amd64.
func builtHere(name string, src []byte) (bool, error) {
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH = "linux", "amd64"
	ctx.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(src)), nil }
	return ctx.MatchFile(path.Dir(name), path.Base(name))
}
