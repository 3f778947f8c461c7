package engine

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/golden"
)

var update = flag.Bool("update", false, "rewrite the traces in testdata")

// compare compares a trace with the one that a person has read.
func compare(t *testing.T, name, got string) {
	t.Helper()
	golden.Compare(t, *update, filepath.Join("testdata", name+".trace"), []byte(got))
}

// Traces stay within the first polls of a source, whose times do not depend on
// what the discipline thinks, and leave out what the discipline says.
func TestTraces(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		w := newWorld(t, config(src(ModeServer, "time.example", 1)))
		w.host("192.0.2.1")
		w.run(3500 * time.Millisecond) // the name does not resolve yet
		w.name("time.example", "192.0.2.1", "192.0.2.2")
		w.run(10 * time.Second)
		compare(t, "server", w.trace.String())
	})
	t.Run("pool", func(t *testing.T) {
		w := newWorld(t, config(src(ModePool, "pool.example", 2)))
		w.host("192.0.2.1")
		w.host("192.0.2.3")
		w.name("pool.example", "192.0.2.1", "192.0.2.2", "192.0.2.3") // .2 is dead
		w.run(8500 * time.Millisecond)
		compare(t, "pool", w.trace.String())
	})
	t.Run("nts", func(t *testing.T) {
		w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
		h := w.host("192.0.2.1")
		w.name("time.example", "192.0.2.1")
		tries := 0
		w.keys = func(a ExchangeKeys) Event {
			if tries++; tries == 1 {
				return refused(a)
			}
			return w.establish(a, h, "time.example")
		}
		w.run(15 * time.Second)
		compare(t, "nts", w.trace.String())
	})
	t.Run("nts-pool", func(t *testing.T) {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 3)))
		a, b := w.host("192.0.2.1"), w.host("192.0.2.2")
		// A pool of two servers, asked for three: it knows nothing better
		// than to name the first again.
		w.keys = func(k ExchangeKeys) Event {
			for _, d := range k.Deny {
				if d == "192.0.2.1" && len(k.Deny) == 1 {
					return w.establish(k, b, "192.0.2.2")
				}
			}
			return w.establish(k, a, "192.0.2.1")
		}
		w.run(5 * time.Second)
		compare(t, "nts-pool", w.trace.String())
	})
}
