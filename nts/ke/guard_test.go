package ke

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// No fault leaves the guard, whatever it is: the runtime's own, an error, a text
// or nothing at all. Each is reported once, in one short line, for the client
// whose work it was. The faults are on this goroutine, so that one that gets out
// fails the test and does not end the tests.
func TestWhatAGuardHolds(t *testing.T) {
	w := newWorld(t)
	l, err := w.net.Listen(serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := w.net.Dial(t.Context(), "tcp", serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var none map[string]int
	var empty []byte
	var nothing any
	for _, c := range []struct {
		work func()
		want string // how the report begins; empty for none
	}{
		{func() {}, ""},
		{func() { none["a"]++ }, "assignment to entry in nil map at guard_test.go:"},
		{func() { _ = empty[len(none)] }, "runtime error: index out of range [0] with length 0 at guard_test.go:"},
		{func() { panic(errors.New("two\nlines")) }, "two?lines at guard_test.go:"},
		{func() { panic(strings.Repeat("long ", longestCause)) }, "long long "},
		{func() { panic(nothing) }, "panic called with nil argument"},
	} {
		var told []Outcome
		f := Front{Outcome: func(o Outcome) { told = append(told, o) }}
		func() {
			defer func() {
				if out := recover(); out != nil {
					t.Errorf("%v left the guard", out)
				}
			}()
			f.guard(conn, c.work)
		}()
		if c.want == "" {
			if len(told) > 0 {
				t.Errorf("work without a fault is reported: %+v", told)
			}
			continue
		}
		if len(told) != 1 {
			t.Errorf("%s: %d reports", c.want, len(told))
			continue
		}
		o := told[0]
		if o.Kind != Panicked || o.Remote != AddrPort(client.LocalAddr()) || len(o.Detail) > 2*longestCause ||
			!strings.HasPrefix(o.Detail, c.want) || !strings.Contains(o.Detail, " at guard_test.go:") {
			t.Errorf("%+v, want %q", o, c.want)
		}
	}
}

// A fault that one client finds, in the handshake, in its request or on a kept
// connection, ends its connection alone: it is reported with its place, all
// places for connections are given back, and the next client is served.
func TestAPanicEndsOneConnection(t *testing.T) {
	// in makes the fault while *on.
	for name, in := range map[string]func(w *world, on *bool){
		"handshake": func(w *world, on *bool) {
			config := w.config.TLS().Clone()
			leaf := config.Certificates[0]
			config.Certificates = nil
			config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &leaf, fault(*on) }
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
