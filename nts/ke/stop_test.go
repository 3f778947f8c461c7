package ke

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestStoppingWaitsForNobody: whoever holds a connection without asking does
// not keep the daemon from ending, however long an exchange may take.
func TestStoppingWaitsForNobody(t *testing.T) {
	for name, idle := range map[string]func(*testing.T, *world){
		"nothing sent": func(t *testing.T, w *world) {
			if _, err := w.net.Dial(t.Context(), "tcp", serverAddr); err != nil {
				t.Fatal(err)
			}
		},
		"no request":     func(_ *testing.T, w *world) { w.mustRaw() },
		"half a request": func(t *testing.T, w *world) { say(t, w.mustRaw(), ordinary) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Timeout = time.Hour
				w.start()
				idle(t, w)
				synctest.Wait()
				time.Sleep(time.Minute)
				began := time.Now()
				w.stop()
				if err := <-w.served; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > stopGrace+lingerTime {
					t.Errorf("stopped after %v", took)
				}
			})
		})
	}
}

// TestARequestOnItsWayIsAnswered: a client that is about to ask when the server
// stops still gets its cookies.
func TestARequestOnItsWayIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, ordinary)
		synctest.Wait()
		w.stop()
		time.Sleep(stopGrace / 2)
		say(t, c, eom)
		if msg := hearMessage(t, c); len(msg) < 8*168 {
			t.Errorf("%d octets: %x", len(msg), msg)
		}
		c.Close()
		<-w.served
		if w.kinds() != "key-exchange" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}
