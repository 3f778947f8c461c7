package pool

import (
	"crypto/tls"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Of many clients at once, one asks what the source supports, and they share
// few connections.
func TestCase30ManyColdClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		s.tls = slowHandshake(100 * time.Millisecond)
		w.start()
		const many = 200
		var clients sync.WaitGroup
		for range many {
			clients.Go(func() {
				if _, err := w.exchange(); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
		if info, keys := s.count(); info != 1 || keys != many {
			t.Errorf("%d questions, %d keys", info, keys)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.most > 5 { // "few": some sources allow no more; one is for the question
			t.Errorf("%d connections at once", s.most)
		}
	})
}

func slowHandshake(d time.Duration) func(*tls.Config) {
	return func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			time.Sleep(d)
			return nil, nil
		}
	}
}

func TestClientsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			w.add()
		}
		draws := uint64(0)
		w.change = func(c *Config) {
			c.Uniform = func(n uint64) uint64 { draws++; return draws % n }
		}
		w.start()
		times := make(map[string]int)
		for range 9 {
			got, err := w.exchange()
			if err != nil {
				t.Fatal(err)
			}
			times[got.Server]++
		}
		for _, s := range w.sources {
			if times[s.name] != 3 {
				t.Errorf("clients went to %v", times)
			}
		}
	})
}

// A client denies by the name that it was given, be it that of the key
// exchange or that of the NTP server.
func TestCase33Deny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.add(func(s *source) { s.server.NTPServer = "ntp.elsewhere.example" })
		w.start()
		var held []string
		for range 2 {
			got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = held })
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, got.Server)
		}
		if held[0] == held[1] {
			t.Errorf("got %q", held)
		}
		for range 4 {
			got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"ntp.elsewhere.example"} })
			if err != nil || got.Server != "s0.example.net" {
				t.Errorf("%+v, %v", got, err)
			}
		}
		before, _ := w.sources[0].count()
		_, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = held })
		var e *ke.Error
		if !errors.As(err, &e) || e.Code != nts.InternalServerError {
			t.Errorf("all denied: %v", err)
		}
		if after, _ := w.sources[0].count(); after != before {
			t.Error("a denied source was asked")
		}
	})
}

func TestCase39Negotiation(t *testing.T) {
	const bad = "8002 0002 0002" + eom
	none, noAlgorithm := "8001 0000"+eom, "8001 0002 0000 8004 0000"+eom
	for _, c := range []struct {
		name, question, answer string
	}{
		{"another protocol only", "8001 0002 8001" + eom, none},
		{"unknown algorithm", "8001 0002 0000 8004 0002 0063" + eom, noAlgorithm},
		{"AES-128-GCM-SIV alone, its context in doubt", "8001 0002 0000 8004 0002 001e" + eom, noAlgorithm},
		// RFC 8915 section 4.1.5: AES-SIV-CMAC-256 must be supported; that
		// no source does is an internal condition.
		{"15, which the source lacks", "8001 0002 0000 8004 0002 000f" + eom, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add(func(s *source) {
					s.information = func() []byte { return fromHex("8009 0002 0000 800a 0008 00110040 001e0010" + eom) }
				})
				w.start()
				w.wantAnswer(c.question, c.answer)
				if _, keys := s.count(); keys != 0 {
					t.Error("keys were sent")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		for _, c := range []struct {
			offer []aead.Algorithm
			want  aead.Algorithm
		}{{[]aead.Algorithm{17, 15}, 17}, {[]aead.Algorithm{15, 17}, 15}} {
			if got, err := w.exchange(func(r *ke.ClientRequest) { r.Algorithms = c.offer }); err != nil || got.Algorithm != c.want || len(got.C2S) != c.want.KeyLen() {
				t.Errorf("offered %v: %+v, %v", c.offer, got.Algorithm, err)
			}
		}
		resp, err := nts.DecodeResponse(w.ask("8001 0004 8001 0000 8004 0004 001e 000f" + eom))
		if est, ok := resp.(nts.Established); err != nil || !ok || est.Protocol != nts.NTPv4 || est.Algorithm != 15 {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// What a client may not say costs no source anything.
func TestCase6BadRequestsGoNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add()
		w.start()
		time.Sleep(time.Second)
		before, _ := s.count()
		const zero, one = "8002 0002 0000" + eom, "8002 0002 0001" + eom
		for question, answer := range map[string]string{
			ordinary + "c032 0000" + eom:                       zero,
			ordinary + "800c 0002 0102" + eom:                  zero,
			"800a 0000" + eom:                                  zero,
			"000e 0003 616263 cf01 0002 6161" + ordinary + eom: zero,
			ordinary + "8001 0002 0000" + eom:                  one,
			"8001 0002 0000" + eom:                             one,
			ordinary + "8002 0002 0000" + eom:                  one,
			ordinary + "8003 0002 0000" + eom:                  one,
			ordinary + "0005 0002 0000" + eom:                  one,
			ordinary:                                           one, // after the deadline
		} {
			w.wantAnswer(question, answer)
		}
		if info, keys := s.count(); info != before || keys != 0 {
			t.Errorf("the source was asked %d+%d times", info-before, keys)
		}
	})
}

// A client's certificate or token makes it no pool.
func TestPoolHasNoPrivilegedClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		if resp, err := nts.DecodeResponse(w.ask("000e 0003 616263 0008 0000" + ordinary + eom)); err != nil {
			t.Errorf("%v, %v", resp, err)
		} else if est, ok := resp.(nts.Established); !ok || est.KeepAlive != nts.NoDialect {
			t.Errorf("%v", resp)
		}
	})
}
