package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// verbs are all commands that do something.
func verbs(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.Name() == "help" {
			continue
		}
		if sub := verbs(c); len(sub) > 0 {
			all = append(all, sub...)
		} else {
			all = append(all, c)
		}
	}
	return all
}

var word = regexp.MustCompile(`'[^']*'|\S+`)

// What the help shows as an example is understood: the verb, its flags and the
// number of its arguments.
func TestExamplesAreUnderstood(t *testing.T) {
	n := 0
	for _, c := range verbs(root()) {
		for l := range strings.Lines(c.Example) {
			l = strings.TrimSpace(l)
			if l == "" {
				continue
			}
			n++
			args := word.FindAllString(l, -1)
			for i := range args {
				args[i] = strings.Trim(args[i], "'")
			}
			if args[0] != "ntp-ctl" {
				t.Errorf("%q is no command of ours", l)
				continue
			}
			found, rest, err := root().Find(args[1:])
			if err != nil || found.CommandPath() != c.CommandPath() {
				t.Errorf("%q: %v, %v", l, found.CommandPath(), err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", l, err)
			} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%q: %v", l, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d examples", n)
	}
}

// Every verb is run by a script or a test of the commands.
func TestEveryVerbIsRun(t *testing.T) {
	var text strings.Builder
	for _, pattern := range []string{"../testdata/script/*.txtar", "../*_test.go", "*_test.go", "../../test/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
	}
	for _, c := range verbs(root()) {
		path := c.CommandPath()
		quoted := `"` + strings.ReplaceAll(strings.TrimPrefix(path, "ntp-ctl "), " ", `", "`) + `"`
		if !strings.Contains(text.String(), path+" ") && !strings.Contains(text.String(), quoted) {
			t.Errorf("nothing runs %s", path)
		}
		if c.Short == "" {
			t.Errorf("%s has no help", path)
		}
	}
}
