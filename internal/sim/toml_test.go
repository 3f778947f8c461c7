package sim

import (
	"strings"
	"testing"
)

// A scenario's ntp.toml is what the node runs with: who is not in it is not
// asked, and what is wrong with it ends the run.
func TestScenarioTomlIsUsed(t *testing.T) {
	for _, s := range scenarios(t, "testdata/suite.json") {
		if s.Name != "own_configuration" {
			continue
		}
		cfg, err := build(s.toml())
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(s, 1, cfg)
		w.run(nil)
		for i, v := range w.servers {
			if asked := v.polls > 0; asked != (i < 2) {
				t.Errorf("server %d: asked %d times", i+1, v.polls)
			}
		}
		if n := w.servers[0].polls; n < 7200/70 {
			t.Errorf("asked %d times in two hours, at most 64 s apart", n)
		}
		bad := *s
		bad.Toml = strings.Replace(s.Toml, "minimum", "maximum", 1)
		if _, err := Run(&bad, 1, nil); err == nil || !strings.Contains(err.Error(), "ntp.toml") {
			t.Errorf("a bad ntp.toml: %v", err)
		}
		return
	}
	t.Fatal("no such scenario")
}
