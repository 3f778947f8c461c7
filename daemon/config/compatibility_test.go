package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const compatibility = "../../docs/compatibility.md"

// The list of keys in the document stands between these lines.
const (
	keysBegin = "<!-- The keys: written by go test ./daemon/config -update -->\n"
	keysEnd   = "<!-- The end of the keys -->\n"
)

// TestKeysAreDocumented compares the document's list of keys with the table of keys.
func TestKeysAreDocumented(t *testing.T) {
	data, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), keysBegin)
	listed, after, ended := strings.Cut(rest, keysEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the keys", compatibility)
	}
	want := "\n" + sections(Keys(), "ntp.toml") + sections(PoolKeys(), "pool.toml")
	if *update {
		if err := os.WriteFile(compatibility, []byte(before+keysBegin+want+keysEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want {
		t.Errorf("the keys in %s are not those of the table; go test ./daemon/config -update writes them", compatibility)
	}
}

// sections writes one table for each section of a file.
func sections(keys []Row, file string) string {
	var b strings.Builder
	var title string
	for _, k := range keys {
		section, name, nested := strings.Cut(k.Key, ".")
		if !nested {
			title = section
			b.WriteString("### `" + title + "` in " + file + "\n\n" + sentence(k) + "\n\n| key | takes | default | ntpd-rs 1.9 | meaning |\n|---|---|---|---|---|\n")
			continue
		}
		theirs := "the same"
		if k.Row != "" {
			theirs = k.Theirs + " (`" + k.Row + "`)"
		}
		b.WriteString("| `" + name + "` | " + k.Form + " | " + byDefault(k) + " | " + theirs + " | " + sentence(k) + " |\n")
		if last(keys, k) {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// last reports whether a key is the last of its section.
func last(keys []Row, k Row) bool {
	i := slices.IndexFunc(keys, func(r Row) bool { return r.Key == k.Key })
	return i == len(keys)-1 || !strings.Contains(keys[i+1].Key, ".")
}

func byDefault(k Row) string {
	switch {
	case k.Required:
		return "required"
	case k.Default == "":
		return ""
	case k.Literal:
		return "`" + k.Default + "`"
	}
	return k.Default
}

func sentence(k Row) string {
	parts := []string{k.Doc}
	if len(k.Modes) > 0 {
		parts = append(parts, "Mode "+strings.ReplaceAll(quotedModes(k.Modes), `"`, "`"))
	}
	if len(k.Spelled) > 0 {
		parts = append(parts, "Once `"+strings.Join(k.Spelled, "`, `")+"`")
	}
	for _, l := range k.Lacks {
		parts = append(parts, "**"+strings.ToUpper(l[:1])+l[1:]+"**")
	}
	for i, p := range parts {
		r := []rune(p)
		parts[i] = strings.ToUpper(string(r[:1])) + string(r[1:])
	}
	return strings.Join(parts, ". ") + "."
}

// A row of a table of differences: id, ntpd-rs, ours, proof.
var difference = regexp.MustCompile("^\\| `([a-z0-9-]+)` \\| (.+) \\| (.+) \\| (.+) \\|$")

// differences gives the ids of the document's rows and the tests that prove each.
func differences(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(data), keysBegin)
	rows := map[string][]string{}
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| id |") || strings.HasPrefix(line, "|---") {
			continue
		}
		m := difference.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a row of id, theirs, ours, test: %s", line)
			continue
		}
		if rows[m[1]] != nil {
			t.Errorf("the id %s is there twice", m[1])
		}
		for _, name := range strings.Split(m[4], ",") {
			rows[m[1]] = append(rows[m[1]], strings.Trim(strings.TrimSpace(name), "`"))
		}
	}
	return rows
}

// TestDifferencesAreProved wants an existing test for each row of the document.
func TestDifferencesAreProved(t *testing.T) {
	tests, scripts := testsOfProject(t)
	rows := differences(t)
	if len(rows) < 10 {
		t.Fatalf("only %d rows are read", len(rows))
	}
	for id, names := range rows {
		for _, name := range names {
			function, script, sub := strings.Cut(name, "/")
			if !tests[function] {
				t.Errorf("%s: there is no test %s", id, function)
			}
			if sub && !scripts[script] {
				t.Errorf("%s: there is no script %s.txtar", id, script)
			}
		}
	}
}

// TestDefaultsThatDifferHaveARow wants the rows that the table of keys refers to.
func TestDefaultsThatDifferHaveARow(t *testing.T) {
	rows := differences(t)
	for _, k := range append(Keys(), PoolKeys()...) {
		if k.Row != "" && rows[k.Row] == nil {
			t.Errorf("%s refers to the row %s, which does not exist", k.Key, k.Row)
		}
		if (k.Row == "") != (k.Theirs == "") {
			t.Errorf("%s has a row %q for ntpd-rs' %q", k.Key, k.Row, k.Theirs)
		}
	}
}

var function = regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)

// testsOfProject finds the test functions, and the test scripts by their names without ending.
func testsOfProject(t *testing.T) (tests, scripts map[string]bool) {
	t.Helper()
	tests, scripts = map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(strings.Trim(d.Name(), ".")) > 0:
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllSubmatch(data, -1) {
				tests[string(m[1])] = true
			}
		case strings.HasSuffix(path, ".txtar"):
			scripts[strings.TrimSuffix(d.Name(), ".txtar")] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, scripts
}
