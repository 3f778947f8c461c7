package main

import (
	"strings"
	"testing"
)

const progress = "fuzz: elapsed: 3s, execs: 9075 (0/sec), new interesting: 0 (total: 33)\n"

// Only a run whose failure belongs to no input is tried once more.
func TestNamesInput(t *testing.T) {
	for _, c := range []struct {
		name, out string
		want      bool
	}{
		{"the time was up", progress + "--- FAIL: FuzzX (11.05s)\n    context deadline exceeded\nFAIL\nexit status 1\n", false},
		{"a worker died", progress + "--- FAIL: FuzzX (9.05s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		{"an input failed", progress + "--- FAIL: FuzzX (0.05s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: wrong\n\n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n", true},
		{"an input failed just before the end", progress + "--- FAIL: FuzzX (0.05s)\n    context deadline exceeded\nFAIL\n    Failing input written to testdata/fuzz/FuzzX/1\n", true},
		{"a committed input failed", "failure while testing seed corpus entry: FuzzX/seed#0\n--- FAIL: FuzzX (0.05s)\n", true},
	} {
		if got := namesInput(c.out); got != c.want {
			t.Errorf("%s: names an input %v, want %v", c.name, got, c.want)
		}
	}
}

// What is said last is what failed, not how far it had come before.
func TestTail(t *testing.T) {
	got := tail(strings.Repeat("early\n", 100) + progress + "--- FAIL: FuzzX\n" + progress + "wrong\n")
	if !strings.HasSuffix(got, "early\n--- FAIL: FuzzX\nwrong\n") || strings.Count(got, "\n") != 60 {
		t.Errorf("%q", got)
	}
}
