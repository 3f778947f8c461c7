package compliance

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rfc-compliance.md")

const (
	root     = "../.."
	document = root + "/docs/rfc-compliance.md"
)

// tests are the test and fuzz functions of each package.
type tests map[string]map[string]bool

func (all tests) of(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	if known, ok := all[pkg]; ok {
		return known
	}
	found := map[string]bool{}
	all[pkg] = found
	names, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) && f.Name.Name != "TestMain" {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

// TestDocument: every row has a test that exists, or a reason, and the
// document is what the lists say.
func TestDocument(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	found := tests{}
	seen := map[string]bool{}
	for _, l := range all {
		for _, r := range l.Rows {
			if seen[r.ID] {
				t.Errorf("%s is there twice", r.ID)
			}
			seen[r.ID] = true
			if r.Text == "" || len(r.Proofs)+len(r.Notes) == 0 {
				t.Errorf("%s has no text, or neither a test nor a reason", r.ID)
			}
			for _, p := range r.Proofs {
				if !found.of(t, p.Package)[p.Test] {
					t.Errorf("%s is to be proved by %s.%s, which does not exist", r.ID, p.Package, p.Test)
				}
			}
		}
	}
	for n := 1; n <= 122; n++ {
		if id := "N-" + strconv.Itoa(n); !seen[id] {
			t.Errorf("%s of RFC 8915 is missing", id)
		}
	}
	want := Render(all)
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(document); err != nil || string(got) != want {
		t.Errorf("docs/rfc-compliance.md is not what the lists say; run go test ./internal/compliance -update (%v)", err)
	}
}

// TestWhatIsNoListIsRefused: a mistake in a list does not lose a row.
func TestWhatIsNoListIsRefused(t *testing.T) {
	for _, text := range []string{
		"X-1 §1 all\n  text\n",
		"X-1 § all MUST\n",
		"X-1 §1 all MUST\n  text\nstray\n",
		"X-1 §1 all MUST\n  + TestWithoutPackage\n",
		"X-1 §1 all MUST\n  + a.TestB\n  + a.TestB\n",
	} {
		if l, err := parse(text); err == nil {
			t.Errorf("%q: %+v", text, l)
		}
	}
	l, err := parse("# T\nintro\n\nX-1 §1.2 NTP client MUST NOT\n  a\n  b\n  + p/q.TestC\n  - d\n")
	if err != nil || l.Title != "T" || l.Intro != "intro" || len(l.Rows) != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	r := l.Rows[0]
	if r.ID != "X-1" || r.Section != "1.2" || r.Role != "NTP client" || r.Level != "MUST NOT" || r.Text != "a b" ||
		len(r.Proofs) != 1 || r.Proofs[0] != (Proof{"p/q", "TestC"}) || len(r.Notes) != 1 || r.Notes[0] != "d" {
		t.Errorf("%+v", r)
	}
}
