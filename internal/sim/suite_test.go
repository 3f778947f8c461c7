package sim

import (
	"os"
	"testing"
)

// Every scenario of the suite keeps its limits, with more than one seed or
// those that once failed.
func TestSuite(t *testing.T) {
	all := scenarios(t, "testdata/suite.json")
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			seeds := s.Seeds
			if len(seeds) == 0 {
				seeds = []uint64{1, 2}
			}
			for _, seed := range seeds {
				r, err := Run(s, seed, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, bad := range r.Check() {
					t.Errorf("seed %d: %s", seed, bad)
				}
				if t.Failed() {
					t.Logf("see it: go run ./test/accuracy -only '^%s$' -seeds %d -trace internal/sim/testdata/suite.json", s.Name, seed)
				}
			}
		})
	}
}

func scenarios(t *testing.T, name string) []*Scenario {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all, ignored, err := Parse(b)
	if err != nil || len(ignored) > 0 {
		t.Fatalf("%v; unknown keys %q", err, ignored)
	}
	return all
}
