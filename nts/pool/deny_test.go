package pool

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// The very first client after a start denies a server by its NTP name: no
// source has said its names yet, and the one that goes by this name does not
// even know the question for names.
func TestCase33DenyAtFirstContact(t *testing.T) {
	for name, nameless := range map[string]bool{"asked for its names": false, "asked as a client asks": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				first := w.add(func(s *source) {
					s.keep, s.plain, s.nameless, s.server.NTPServer = true, true, nameless, "ntp.elsewhere.example"
				})
				second := w.add(func(s *source) { s.keep, s.plain = true, true })
				w.start() // and no time passes
				got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"NTP.elsewhere.example."} })
				if err != nil || got.Server != second.name {
					t.Errorf("%+v, %v", got.Server, err)
				}
				if _, keys := first.count(); keys != 0 {
					t.Error("the denied source got the keys")
				}
			})
		})
	}
}

// A source that does not say its names may be one that the client denies: it
// gets no keys of a client that denies anything, until it has served another and
// said by that where its NTP server is.
func TestSourcesWithoutNamesMayBeDenied(t *testing.T) {
	for _, mode := range []string{"hangs", "refuses"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var hangs atomic.Bool
				hangs.Store(mode == "hangs")
				s := w.add(func(s *source) {
					s.keep, s.nameless, s.server.NTPServer = true, mode == "refuses", "ntp.elsewhere.example"
					s.names = func() {
						if hangs.Load() {
							time.Sleep(time.Minute)
						}
					}
				})
				w.start()
				for _, pause := range []time.Duration{0, time.Second, 6 * time.Second, time.Minute} {
					time.Sleep(pause)
					_, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"ntp.elsewhere.example"} })
					if _, keys := s.count(); err == nil || keys != 0 {
						t.Fatalf("after %v: %v, keys %d times", pause, err, keys)
					}
				}
				if _, err := w.exchange(); err != nil {
					t.Fatal(err)
				}
				if _, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"another.example"} }); err != nil {
					t.Error(err)
				}
				if _, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"ntp.elsewhere.example"} }); err == nil {
					t.Error("the client got what it denied")
				}
			})
		})
	}
}

// What the pool asks for to learn a name is asked once an hour.
func TestNamesOfNamelessSourcesAreAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep, s.plain, s.nameless = true, true, true })
		w.start()
		time.Sleep(10 * time.Hour)
		asked := 0
		for _, req := range s.all() {
			if _, ok := req.(nts.KeyExchange); ok {
				asked++
			}
		}
		if asked < 7 || asked > 14 {
			t.Errorf("asked %d times in ten hours", asked)
		}
	})
}

// Thousands of Deny records cost no more than the first of them.
func TestDenyRecordsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 2 {
			w.add(func(s *source) { s.keep = true })
		}
		w.start()
		q := nts.KeyExchange{Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: []aead.Algorithm{15}}
		for i := range mostDenied + 1 {
			name := fmt.Sprintf("x%d.example", i)
			if i == mostDenied {
				name = w.sources[0].name
			}
			q.Deny = append(q.Deny, nts.Deny{Name: name, Dialect: nts.IANA})
		}
		for _, c := range []struct {
			deny []nts.Deny
			want string
		}{{q.Deny, w.sources[0].name}, {q.Deny[1:], w.sources[1].name}} {
			q.Deny = c.deny
			request, err := nts.AppendRequest(nil, q)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := nts.DecodeResponse(w.ask(fmt.Sprintf("%x", request)))
			if est, ok := resp.(nts.Established); err != nil || !ok || est.Server != c.want {
				t.Errorf("%d records: %v, %v, want %v", len(c.deny), resp, err, c.want)
			}
		}
	})
}

// A source that fails and works in turns, because a stranger makes it or by
// itself, is not worth a line each time.
func TestFlappingSourcesDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		time.Sleep(time.Second)
		for i := range 100 {
			s.turn(func(s *source) {
				if s.fixedKey = nil; i%2 == 0 {
					s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0002" + eom) }
				}
			})
			_, _ = w.exchange() // every other fails
		}
		if n := strings.Count(w.log.String(), "time source "); n != tellsMost {
			t.Errorf("%d lines", n)
		}
		time.Sleep(tellsEvery)
		_, _ = w.exchange()
		s.turn(func(s *source) { s.fixedKey = nil })
		w.die(s)
		time.Sleep(10 * time.Minute)
		if log := w.log.String(); strings.Count(log, "changes_not_logged=") != 1 {
			t.Errorf("log\n%s", log)
		}
	})
}

// One line says once that no source was found.
func TestNoSourceIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.down = true })
		w.start()
		w.wantDenied()
		if n := strings.Count(w.log.String(), "could not find a valid KE server"); n != 1 {
			t.Errorf("log\n%s", w.log.String())
		}
	})
}

// Names differ only in what a fingerprint sees: case and a last dot do not.
func TestFingerprintIsCanonical(t *testing.T) {
	r, from, now := newRepeats(), netip.MustParseAddr("192.0.2.1"), time.Unix(0, 0)
	for i := range repeatMost + 1 {
		name := []string{"A.example", "a.example."}[i%2]
		q := nts.KeyExchange{Deny: []nts.Deny{{Name: name, Dialect: nts.IANA}}}
		if got := r.excessive(from, q, now); got != (i == repeatMost) {
			t.Errorf("request %d: %v", i, got)
		}
	}
}

// A source that says another name to each client is forgotten under the first
// ones. Then nobody can tell what a client means that denies a server, so it is
// not for clients that deny any; a reload of the members changes nothing of that.
// For others it is a source as any.
func TestSourcesOfTooManyNamesAreDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		restless := w.add(func(s *source) { s.keep, s.plain = true, true })
		other := w.add(func(s *source) { s.keep, s.plain = true, true })
		w.start()
		gives := func(want *source, change ...func(*ke.ClientRequest)) {
			t.Helper()
			time.Sleep(time.Minute) // or it is the same denial too often
			if got, err := w.exchange(change...); err != nil || got.Server != want.name {
				t.Errorf("%q instead of %q, %v", got.Server, want.name, err)
			}
		}
		deny := func(name string) func(*ke.ClientRequest) {
			return func(r *ke.ClientRequest) { r.Deny = []string{name} }
		}
		m := (*w.pool.broker.members.Load())[0]
		for i := range mostNames {
			gives(restless, deny("stranger.example"))
			m.learn(fmt.Sprintf("ntp%d.example", i))
		}
		gives(restless, deny("stranger.example")) // all its names are known
		gives(other, deny("ntp0.example"))
		m.learn("last.example")
		gives(other, deny("ntp0.example")) // which is forgotten
		gives(other, deny("stranger.example"))
		gives(restless)

		weighty := restless.asSource()
		weighty.Weight++
		if err := w.pool.SetSources([]Source{weighty, other.asSource()}); err != nil {
			t.Fatal(err)
		}
		gives(other, deny("ntp0.example"))
		gives(restless)
	})
}
