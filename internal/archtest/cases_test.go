package archtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestWhatIsBadIsFound runs the checks on small modules, each an archive under
// testdata. Lines that violate the plan end in a comment "// want: text"; no
// others are reported. What a line cannot say of itself, the archive's comment
// does: "want: file:line: text".
func TestWhatIsBadIsFound(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	for _, name := range archives {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			module := fstest.MapFS{}
			for _, f := range archive.Files {
				module[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			tree, err := Load(module)
			if err != nil {
				t.Fatal(err)
			}
			found := Check(tree)
			if strings.HasPrefix(filepath.Base(name), "products") {
				more, err := Unrounded(tree)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, more...)
			}
			compare(t, found, wanted(archive))
		})
	}
}

// wanted collects what an archive says about itself.
func wanted(a *txtar.Archive) map[string]bool {
	want := map[string]bool{}
	for line := range strings.Lines(string(a.Comment)) {
		if w, ok := strings.CutPrefix(strings.TrimSpace(line), "want: "); ok {
			want[w] = true
		}
	}
	for _, f := range a.Files {
		for i, line := range strings.Split(string(f.Data), "\n") {
			if _, w, ok := strings.Cut(line, "// want: "); ok {
				want[fmt.Sprintf("%s:%d: %s", f.Name, i+1, w)] = true
			}
		}
	}
	return want
}

func compare(t *testing.T, found []Violation, want map[string]bool) {
	t.Helper()
	for _, v := range found {
		if !want[v.String()] {
			t.Errorf("unexpected: %s", v)
		}
		delete(want, v.String())
	}
	for w := range want {
		t.Errorf("not found: %s", w)
	}
}

func TestRuleFor(t *testing.T) {
	for pkg, want := range map[string]string{
		"proto": "proto", "proto/kalman": "proto/kalman", "test/demo": "test/...", "test/lab": "test/lab", "test": "test/...",
	} {
		if r, ok := ruleFor(pkg); !ok || r.Package != want {
			t.Errorf("%s has the rule %q", pkg, r.Package)
		}
	}
	for _, pkg := range []string{"protocol", "proto/new", "daemons", "tests"} {
		if r, ok := ruleFor(pkg); ok {
			t.Errorf("%s has the rule %q", pkg, r.Package)
		}
	}
}

func TestParseMod(t *testing.T) {
	module, requires := parseMod(strings.Join([]string{
		"module example.test/m", "", "go 1.26", "require example.test/one v1.0.0", "require (",
		"\texample.test/two v1.2.3 // indirect", "\texample.test/three v0.0.0 // why", ")", "replace a => b",
	}, "\n"))
	want := "example.test/m [{example.test/one 4 false} {example.test/two 6 true} {example.test/three 7 false}]"
	if got := fmt.Sprint(module, " ", requires); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestOutOfOrderRoomsAreFound(t *testing.T) {
	saved := Rooms
	defer func() { Rooms = saved }()
	Rooms = []Rule{{Package: "low", Internal: []string{"high"}}, {Package: "high"}}
	if bad := Upwards(); len(bad) != 1 || bad[0] != "low → high" {
		t.Errorf("found %q", bad)
	}
	if idle := Idle(&Tree{Files: []*File{{Package: "low"}}}); len(idle) != 1 || idle[0] != "high" {
		t.Errorf("idle %q", idle)
	}
}
