package main

import (
	"os"
	"strings"
	"testing"
)

// Every guard is where the table says.
func TestGuardsAreInTheSource(t *testing.T) {
	for _, g := range guards {
		texts := map[string]string{}
		for _, e := range g.edits {
			text, ok := texts[e.file]
			if !ok {
				b, err := os.ReadFile("../../" + e.file)
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			if n := strings.Count(text, e.old); n != 1 {
				t.Errorf("%s: the pattern is %d times in %s: %q", g.name, n, e.file, e.old)
			}
			texts[e.file] = strings.Replace(text, e.old, e.new, 1)
		}
	}
}
