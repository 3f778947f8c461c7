package sim

import (
	"fmt"
	"strings"
)

// toml is the ntp.toml of the node under test: the scenario's own, or one that
// asks each of its servers.
func (s *Scenario) toml() string {
	if s.Toml != "" {
		return s.Toml
	}
	var b strings.Builder
	if len(s.Poll) == 2 {
		fmt.Fprintf(&b, "[source-defaults]\npoll-interval-limits = { min = %d, max = %d }\ninitial-poll-interval = %d\n\n", s.Poll[0], s.Poll[1], s.Poll[0])
	}
	for i := range s.Servers {
		fmt.Fprintf(&b, "[[source]]\nmode = \"server\"\naddress = \"%s\"\n\n", address(i))
	}
	return b.String()
}
