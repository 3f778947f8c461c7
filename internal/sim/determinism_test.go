package sim

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what runs do now as what they should do")

// The same seed gives the same run, byte for byte, on every machine: this test
// also runs for 386 and for higher levels of amd64.
func TestRunsAreTheSameEverywhere(t *testing.T) {
	const golden = "testdata/traces.txt"
	var b strings.Builder
	for _, s := range scenarios(t, "testdata/suite.json") {
		switch s.Name {
		case "converges", "falseticker_outvoted", "suspend", "loss_90":
		default:
			continue
		}
		cfg, err := build(s.toml())
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(s, 11, cfg)
		h := sha256.New()
		w.run(func() {
			fmt.Fprintf(h, "%x %x %d %d\n", w.clock.err, w.clock.base, w.snapshot.RootDelay, w.snapshot.RootDispersion)
		})
		fmt.Fprintf(&b, "%s: sha256 %x, last error %x\n", s.Name, h.Sum(nil), w.clock.err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("runs differ from %s (if that is meant, run with -update):\n%swant:\n%s", golden, b.String(), want)
	}
}
