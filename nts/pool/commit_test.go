package pool

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Numbers after Case are those of the list of cases that pools of key
// exchanges are tested by. Every world judges at its end, from what the sources
// have recorded, that no keys went to two of them.

// A source that takes connections and says nothing costs one client a second
// and the others nothing.
func TestCase22SourceThatSwallowsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad := w.add(func(s *source) { s.down = true })
		good := w.add()
		l, err := w.net.Listen(bad.addr)
		if err != nil {
			t.Fatal(err)
		}
		var held []net.Conn
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				held = append(held, c)
			}
		}()
		w.start()
		for i := range 20 {
			began := time.Now()
			got, err := w.exchange()
			if err != nil || got.Server != good.name {
				t.Fatalf("%+v, %v", got, err)
			}
			took := time.Since(began)
			if i == 0 && took > prepareTimeout || i > 0 && took > 100*time.Millisecond {
				t.Errorf("client %d waited %v", i, took)
			}
			time.Sleep(time.Second)
		}
		l.Close()
		<-done
		for _, c := range held {
			c.Close()
		}
	})
}

// A kept connection that the source has given up is found out by the request
// with the keys: it goes once more to the same source.
func TestCase24StaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, misbehave := range []func(*tls.Conn) []byte{
			func(*tls.Conn) []byte { return nil }, // closes
			func(c *tls.Conn) []byte {
				c.NetConn().(interface{ Reset() }).Reset()
				return nil
			},
		} {
			w := newWorld(t)
			first := true
			bad := w.add(func(s *source) { s.keep = true })
			bad.fixedKey = func(c *tls.Conn) []byte {
				if first {
					first = false
					return misbehave(c)
				}
				return fromHex(ordinary + "0005 0004 01020304 0008 0000" + eom)
			}
			other := w.add()
			w.start()
			time.Sleep(time.Second)
			if got, err := w.exchange(); err != nil || got.Server != bad.name {
				t.Errorf("%+v, %v", got, err)
			}
			keys := bad.fixedKeys()
			if len(keys) != 2 || !bytes.Equal(keys[0].C2S, keys[1].C2S) || !bytes.Equal(keys[0].S2C, keys[1].S2C) {
				t.Errorf("%d requests with keys", len(keys))
			}
			if accepted, _ := bad.connections(); accepted != 2 {
				t.Errorf("%d connections", accepted)
			}
			if n := len(other.fixedKeys()); n != 0 {
				t.Errorf("the other source has the keys %d times", n)
			}
			w.end()
		}
	})
}

// A new connection that ends without an answer was not stale, and nor was a
// kept one that had begun to answer: the keys are not sent again.
func TestCase25NoSecondRequestAfterAnAnswerBegan(t *testing.T) {
	for name, misbehave := range map[string]func(*tls.Conn) []byte{
		"one octet": func(c *tls.Conn) []byte {
			c.Write([]byte{0x80})
			return nil
		},
		"half an answer": func(c *tls.Conn) []byte {
			c.Write(fromHex(ordinary))
			return nil
		},
		"twice": func(*tls.Conn) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				bad := w.add(func(s *source) { s.keep, s.fixedKey = true, misbehave })
				other := w.add()
				w.start()
				time.Sleep(time.Second)
				w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
				want := 1
				if name == "twice" { // the second was over a new connection
					want = 2
				}
				if n, m := len(bad.fixedKeys()), len(other.fixedKeys()); n != want || m != 0 {
					t.Errorf("the keys were sent %d times, and %d times to the other", n, m)
				}
			})
		})
	}
}

// The client's deadline holds after the keys were sent, too; a client that is
// late itself is no mark against the source.
func TestDeadlineAfterTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := w.add(func(s *source) {
			s.fixedKey = func(*tls.Conn) []byte {
				time.Sleep(10 * time.Second)
				return nil
			}
		})
		w.start()
		began := time.Now()
		w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
		if took := time.Since(began); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if l := (*w.pool.broker.members.Load())[0].legs[ipv4]; healthOf(l) != suspected {
			t.Error("a source that let a client wait for seconds is not suspected")
		}
		time.Sleep(time.Minute)
		slow.turn(func(s *source) { s.fixedKey = nil })
	})
}

func TestBlame(t *testing.T) {
	timeout, refused := &ke.Error{Class: ke.ClassTimeout}, &ke.Error{Class: ke.ClassRefused}
	for _, c := range []struct {
		cause  error
		waited time.Duration
		want   health
	}{
		{timeout, patience, unusable},
		{timeout, patience - 1, healthy},
		{&ke.Error{Class: ke.ClassCancelled}, 0, healthy},
		{refused, 0, unusable},
		{errBusy, time.Hour, healthy},
		{errNoCommon, time.Hour, healthy},
		{errors.New("no answer yet"), time.Hour, healthy},
	} {
		w := newWorld(t)
		w.add()
		l := newMember(w.sources[0].asSource(), &upstream{log: w.logger()}).legs[ipv4]
		l.blame(c.cause, c.waited)
		if got := healthOf(l); got != c.want {
			t.Errorf("%v after %v: %v, want %v", c.cause, c.waited, got, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := backoff(retryMin, retryMax, n); got != want {
			t.Errorf("after %d failures %v, want %v", n, got, want)
		}
	}
	for range 1000 {
		if d := roughly(time.Minute); d < 45*time.Second || d >= 75*time.Second {
			t.Fatalf("roughly a minute is %v", d)
		}
	}
}

// Names are asked for, so that a client can deny a source that this pool has
// not yet given to anybody.
func TestCase33NamesAreKnownBeforeTheFirstClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.keep, s.server.NTPServer = true, "ntp1.example.net" })
		other := w.add(func(s *source) { s.keep, s.dialects = true, []nts.Dialect{nts.Draft} })
		w.start()
		time.Sleep(time.Second)
		if got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"NTP1.Example.Net."} }); err != nil || got.Server != other.name {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(3 * time.Hour)
		asked := 0
		for _, req := range w.sources[0].all() {
			if _, ok := req.(nts.Names); ok {
				asked++
			}
		}
		if asked != 3 && asked != 4 {
			t.Errorf("asked for its names %d times in three hours", asked)
		}
	})
}

// A source that does not know the question for names is not asked again, and
// is none the worse for it.
func TestNamelessSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep, s.nameless = true, true })
		w.start()
		time.Sleep(3 * time.Hour)
		if _, err := w.exchange(); err != nil {
			t.Error(err)
		}
		asked := 0
		for _, req := range s.all() {
			if _, ok := req.(nts.Names); ok {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("asked for its names %d times", asked)
		}
	})
}

// A kept connection that the source has given up is found out by a question,
// too, and is nothing against the source.
func TestCase24StaleConnectionAtAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		asked := 0
		s := w.add(func(s *source) { s.keep = true })
		s.information = func() []byte {
			if asked++; asked == 2 {
				return nil // closes
			}
			return fromHex("8009 0002 0000 800a 0004 000f0020 0008 0000" + eom)
		}
		w.start()
		time.Sleep(refreshEvery * 4 / 3)
		if info, _ := s.count(); info != 3 {
			t.Errorf("asked %d times", info)
		}
		if accepted, _ := s.connections(); accepted != 2 {
			t.Errorf("%d connections", accepted)
		}
		if strings.Contains(w.log.String(), "does not work") {
			t.Errorf("log\n%s", w.log.String())
		}
	})
}
