package pool

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// A pool is warm before its first client comes, and one connection carries all
// clients and all questions.
func TestConnectionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		time.Sleep(time.Second)
		if info, _ := s.count(); info != 1 {
			t.Errorf("%d questions before the first client", info)
		}
		for range 5 {
			if _, err := w.exchange(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		if accepted, _ := s.connections(); accepted != 1 {
			t.Errorf("%d connections", accepted)
		}
		// Every 60 to 120 s.
		if info, keys := s.count(); info < 6 || info > 11 || keys != 5 {
			t.Errorf("%d questions and %d keys in ten minutes", info, keys)
		}
		// An hour is enough for one connection.
		time.Sleep(time.Hour)
		if accepted, _ := s.connections(); accepted != 2 {
			t.Errorf("%d connections after more than an hour", accepted)
		}
	})
}

// What a source supports is known before a client comes, and renewed.
func TestSupportIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		list := func(digits string) func() []byte {
			return func() []byte { return fromHex("8009 0002 0000" + digits + "0008 0000" + eom) }
		}
		s := w.add(func(s *source) { s.keep, s.information = true, list("800a 0004 000f0020") })
		w.start()
		time.Sleep(time.Second)
		only17 := "8001 0002 0000 8004 0002 0011" + eom
		w.wantAnswer(only17, "8001 0002 0000 8004 0000"+eom)
		s.turn(func(s *source) { s.information = list("800a 0008 000f0020 00110040") })
		time.Sleep(refreshEvery * 5 / 4)
		if resp, err := nts.DecodeResponse(w.ask(only17)); err != nil || resp.(nts.Established).Algorithm != 17 {
			t.Errorf("%v, %v", resp, err)
		}
		if _, keys := s.count(); keys != 1 {
			t.Errorf("%d keys", keys)
		}
	})
}

// A source that cannot be reached is asked ever more rarely, costs clients
// nothing, and is back soon after it has returned.
func TestDeadSourcesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad, good := w.add(func(s *source) { s.keep = true }), w.add()
		w.start()
		time.Sleep(time.Second)
		w.die(bad)
		w.net.Silence(bad.addr)
		dials := w.dials(bad)
		time.Sleep(time.Hour)
		if n := w.dials(bad) - dials; n < 40 || n > 100 {
			t.Errorf("it was called %d times in an hour", n)
		}
		for range 20 {
			began := time.Now()
			if got, err := w.exchange(); err != nil || got.Server != good.name || time.Since(began) > 100*time.Millisecond {
				t.Errorf("%+v, %v after %v", got.Server, err, time.Since(began))
			}
		}
		synctest.Wait()
		if log := w.log.String(); strings.Count(log, "time source does not work") != 1 || strings.Contains(log, "works again") {
			t.Errorf("log\n%s", log)
		}
	})
}

func TestDeadSourceReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.down = true })
		w.start()
		time.Sleep(time.Hour)
		w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
		w.listen(s)
		time.Sleep(retryMax * 5 / 4)
		if _, err := w.exchange(); err != nil {
			t.Error(err)
		}
		if log := w.log.String(); strings.Count(log, "time source works again") != 1 {
			t.Errorf("log\n%s", log)
		}
	})
}

// A source that answers questions and never gives cookies is given fewer and
// fewer clients while others work, and all of them when it is alone.
func TestSpoilingSourceIsAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad := w.add(func(s *source) { s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0002" + eom) } })
		good := w.add()
		w.start()
		for range 3600 / 5 {
			w.exchange()
			time.Sleep(5 * time.Second)
		}
		if _, keys := bad.count(); keys < 5 || keys > 9 {
			t.Errorf("it got %d clients in an hour", keys)
		}
		w.wantDenied(good.name)
		if _, keys := bad.count(); keys < 6 {
			t.Errorf("it is not used for want of others: %d", keys)
		}
		bad.turn(func(s *source) { s.fixedKey = nil })
		if got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{good.name} }); err != nil || got.Server != bad.name {
			t.Errorf("%v, %v", got.Server, err)
		}
		synctest.Wait()
		if log := w.log.String(); strings.Count(log, "time source does not work") != 1 || strings.Count(log, "works again") != 1 {
			t.Errorf("log\n%s", log)
		}
	})
}

// A source says something unasked on a kept connection: the next client must
// not take it for its answer.
func TestUnaskedOctetsEndAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) {
			s.keep = true
			s.fixedKey = func(c *tls.Conn) []byte {
				answer := fromHex(ordinary + "0005 0004 01020304 0008 0000" + eom)
				return append(answer, answer...)
			}
		})
		w.start()
		for range 3 {
			if _, err := w.exchange(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if accepted, _ := s.connections(); accepted != 3 { // the question went over the first
			t.Errorf("%d connections", accepted)
		}
	})
}

// Sessions are resumed towards sources, and no keys can be taken out of such
// a connection.
func TestCase29SessionsAreResumedUpstreamOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add()
		w.start()
		for range 3 {
			if _, err := w.exchange(); err != nil {
				t.Fatal(err)
			}
		}
		if accepted, resumed := s.connections(); accepted != 4 || resumed == 0 {
			t.Errorf("%d of %d connections were resumed", resumed, accepted)
		}
		l := (*w.pool.broker.members.Load())[0].legs[ipv4]
		c, err := l.take(t.Context(), netip.Prefix{}, nts.IANA, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if key, err := c.ke.Export(nts.ExporterLabel, nil, 32); err == nil {
			t.Errorf("exported %d octets", len(key))
		}
	})
}

// Certificates that changed make the pool connect anew, without the sessions
// of before.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		time.Sleep(time.Second)
		w.pool.Renew()
		time.Sleep(time.Second)
		if accepted, resumed := s.connections(); accepted != 2 || resumed != 0 {
			t.Errorf("%d connections, %d resumed", accepted, resumed)
		}
	})
}

// The requests over a kept connection, octet by octet: token first, empty
// bodies, the critical bits as the sources want them.
func TestCase10TokenComesFirst(t *testing.T) {
	for _, c := range []struct {
		dialect                  nts.Dialect
		question, before, behind string
	}{
		{nts.IANA, "000e 0006 736563726574 8009 0000 800a 0000 0008 0000", "000e 0006 736563726574 800c 0040", "8001 0002 0000 8004 0002 000f 0008 0000"},
		{nts.Draft, "4005 0006 736563726574 c004 0000 c001 0000 4000 0000", "4005 0006 736563726574 c002 0040", "8001 0002 0000 8004 0002 000f 4000 0000"},
	} {
		t.Run(c.dialect.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add(func(s *source) { s.keep, s.token, s.dialects = true, "secret", []nts.Dialect{c.dialect} })
				w.start()
				got, err := w.exchange()
				if err != nil {
					t.Fatalf("%v\n%s", err, w.log.String())
				}
				keys := fmt.Sprintf("%x%x", []byte(got.C2S), []byte(got.S2C))
				n := len(s.raw)
				if want := fromHex(c.question + eom); !bytes.Equal(s.raw[n-2], want) {
					t.Errorf("asked %x, want %x", s.raw[n-2], want)
				}
				if want := fromHex(c.before + keys + c.behind + eom); !bytes.Equal(s.raw[n-1], want) {
					t.Errorf("asked %x, want %x", s.raw[n-1], want)
				}
				synctest.Wait()
				if strings.Contains(w.log.String(), "secret") || strings.Contains(fmt.Sprintf("%+v", w.pool.broker.members.Load()), "secret") {
					t.Error("the token shows")
				}
			})
		})
	}
}
