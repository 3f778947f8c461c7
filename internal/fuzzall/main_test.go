package main

import (
	"strings"
	"testing"
)

const progress = "fuzz: elapsed: 3s, execs: 9075 (0/sec), new interesting: 0 (total: 33)\n"

// Only a run in which nothing but the time was up is tried once more.
func TestOutOfTime(t *testing.T) {
	const up = "--- FAIL: FuzzX (11.05s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\texample.net/x\t11.1s\n"
	for _, c := range []struct {
		name, out string
		want      bool
	}{
		{"the time was up", progress + up, true},
		{"the time was up, with a last report", strings.Replace(up, "FAIL\nexit", progress+"FAIL\nexit", 1), true},
		{"an input failed", progress + "--- FAIL: FuzzX (0.05s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: wrong\n\n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n", false},
		{"an input failed with these words", progress + "--- FAIL: FuzzX (0.05s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: context deadline exceeded\n\nFAIL\n", false},
		{"an input failed just before", progress + up + "    Failing input written to testdata/fuzz/FuzzX/1\n", false},
		{"a worker died", progress + "--- FAIL: FuzzX (9.05s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		{"a worker was killed", progress + "--- FAIL: FuzzX (9.05s)\n    fuzzing process terminated by unexpected signal; no crash will be recorded: signal: killed\nFAIL\n", false},
		{"a panic", progress + "panic: oops\n" + up, false},
		{"a committed input failed", "failure while testing seed corpus entry: FuzzX/seed#0\n--- FAIL: FuzzX (0.05s)\n", false},
		{"it does not compile", "FAIL\tgithub.com/x [build failed]\n", false},
	} {
		if got := outOfTime(c.out); got != c.want {
			t.Errorf("%s: out of time %v, want %v", c.name, got, c.want)
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
