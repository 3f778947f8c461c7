package ke

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// A fault that one client finds, in the handshake, in its request or on a kept
// connection, ends its connection alone: it is reported with its place, all
// places for connections are given back, and the next client is served.
func TestAPanicEndsOneConnection(t *testing.T) {
	// in makes the fault while *on.
	for name, in := range map[string]func(w *world, on *bool){
		"handshake": func(w *world, on *bool) {
			config := w.config.TLS().Clone()
			config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, fault(*on) }
			w.config.TLS = func() *tls.Config { return config }
		},
		"request": func(w *world, on *bool) {
			usual := w.config.Seal
			w.config.Seal = func() nts.Sealer { _ = fault(*on); return usual() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, on := poolWorld(t), true
				w.config.ConcurrentConnections, w.config.LongLivedConnections = 2, 1
				in(w, &on)
				w.start()
				for range 5 { // more than there are places
					if c, err := w.raw(); err == nil {
						say(t, c, fixedQ)
						if b, err := io.ReadAll(c); len(b) > 0 {
							t.Fatalf("answered %x, %v", b, err)
						}
					}
					synctest.Wait()
				}
				if got := strings.Count(w.kinds(), "panicked"); got != 5 || got != len(strings.Fields(w.kinds())) {
					t.Fatalf("outcomes %q", w.kinds())
				}
				for _, o := range w.outcomes {
					if !strings.HasPrefix(o.Detail, "no such luck? at guard_test.go:") || !o.Remote.IsValid() || len(o.Detail) > 2*longestCause {
						t.Errorf("%+v", o)
					}
				}
				on = false
				c := w.mustRaw()
				say(t, c, fixedQ)
				if resp, err := nts.DecodeResponse(hearMessage(t, c)); err != nil || resp.(nts.Established).KeepAlive == nts.NoDialect {
					t.Errorf("the next one got %v, %v", resp, err)
				}
			})
		})
	}
}

// fault panics with what is not fit for a log line.
func fault(on bool) error {
	if on {
		panic("no such luck\n")
	}
	return nil
}
