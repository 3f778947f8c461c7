package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// What the comparison says that we can do, a test shows.
func TestComparisonIsShownByTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/comparison.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := testNames(t)
	rows := 0
	for l := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(l), " | ")
		if len(cells) != 7 || strings.HasPrefix(l, "| feature") {
			continue
		}
		rows++
		feature, ours, shown := strings.TrimPrefix(cells[0], "| "), cells[5], quoted.FindAllStringSubmatch(cells[6], -1)
		claims := strings.Contains(ours, "yes") || strings.Contains(ours, "partly")
		if claims != (len(shown) > 0) && feature != "Memory safe" && !strings.HasPrefix(feature, "Windows") {
			t.Errorf("%s: %q and shown by %s", feature, ours, cells[6])
		}
		for _, m := range shown {
			if !known[m[1]] {
				t.Errorf("%s: there is no test %s", feature, m[1])
			}
		}
	}
	if rows < 80 {
		t.Errorf("%d rows", rows)
	}
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testNames are all tests of the project, and the scripts of the commands.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".txtar"):
			names["TestScripts/"+strings.TrimSuffix(filepath.Base(path), ".txtar")] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range testFunc.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
