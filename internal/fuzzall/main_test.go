package main

import "testing"

func TestOnlyARunThatNamesNoInputIsOutOfTime(t *testing.T) {
	const progress = "fuzz: elapsed: 3s, execs: 9075 (0/sec), new interesting: 0 (total: 33)\n"
	for _, c := range []struct {
		name, out string
		want      bool
	}{
		{"the time was up", progress + "--- FAIL: FuzzX (11.05s)\n    context deadline exceeded\nFAIL\nexit status 1\n", true},
		{"an input failed", progress + "--- FAIL: FuzzX (0.05s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: wrong\n\n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n", false},
		{"an input failed with these words", progress + "--- FAIL: FuzzX (0.05s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: context deadline exceeded\n\nFAIL\n", false},
		{"an input failed just before", progress + "--- FAIL: FuzzX (0.05s)\n    context deadline exceeded\nFAIL\n    Failing input written to testdata/fuzz/FuzzX/1\n", false},
		{"a worker died", progress + "--- FAIL: FuzzX (9.05s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		{"a panic", progress + "panic: oops\n--- FAIL: FuzzX (9.05s)\n    context deadline exceeded\nFAIL\n", false},
		{"it does not compile", "FAIL\tgithub.com/x [build failed]\n", false},
	} {
		if got := outOfTime(c.out); got != c.want {
			t.Errorf("%s: out of time %v, want %v", c.name, got, c.want)
		}
	}
}
