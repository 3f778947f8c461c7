package engine

import (
	"testing"
	"time"
)

// RFC 8915 section 4.1.7: "If the record contains a domain name, the recipient
// MUST treat it as a FQDN". What the operator wrote is looked up as it is.
func TestTheNamedServerIsLookedUpAsAFQDN(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), src(ModeServer, "lan", 1)))
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "time.example") }
	w.run(time.Minute)
	lookups, _ := all[Lookup](w)
	seen := map[string]bool{}
	for _, l := range lookups {
		seen[l.Host] = true
		if l.Absolute != (l.Host == "time.example") {
			t.Errorf("%+v", l)
		}
	}
	if !seen["time.example"] || !seen["lan"] {
		t.Errorf("looked up %v", seen)
	}
}
