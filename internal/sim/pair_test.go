package sim

import (
	"strings"
	"testing"
)

// A second node is only asked where there is one, and each of two says whom it
// asks.
func TestTwoNodesAreCheckedWhenRead(t *testing.T) {
	const node = `"clock": {"offset": 0.1}, "servers": [{"peer": true, "up": {"base": 0.001}, "down": {"base": 0.001}}]`
	for text, want := range map[string]string{
		node + `, "ntp.toml": "x", "peer": {` + node + `, "ntp.toml": "x"}`: "",
		node: "server 1: there is no other node",
		node + `, "peer": {` + node + `, "ntp.toml": "x"}`:                                                  "each needs an ntp.toml",
		node + `, "ntp.toml": "x", "peer": {` + node + `}`:                                                  "each needs an ntp.toml",
		node + `, "ntp.toml": "x", "peer": {"clock": {"sine": {"amp": 1}}, "servers": [], "ntp.toml": "x"}`: "peer: clock: a sine",
	} {
		_, ignored, err := Parse([]byte(`{"scenarios": {"s": {"duration": 10, "stats_from": 1, ` + text + `}}}`))
		if len(ignored) > 0 || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, ignored %v; want %q", text, err, ignored, want)
		}
	}
	s := &Scenario{Duration: 10, Toml: "", Peer: &Peer{Toml: "nonsense"}}
	if _, err := Run(s, 1, nil); err == nil || !strings.HasPrefix(err.Error(), "peer: ntp.toml: ") {
		t.Errorf("%v", err)
	}
}

// What is wrong with the second node is wrong with the run.
func TestLimitsOfBothNodesCount(t *testing.T) {
	r := &Result{Scenario: &Scenario{}, Peer: &Result{Scenario: &Scenario{Limits: &Limits{Max: 1}}, Max: 1}}
	if bad := r.Check(); len(bad) != 1 || !strings.HasPrefix(bad[0], "peer: largest error") {
		t.Errorf("%q", bad)
	}
}
