package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Sources change under a pool that serves: none of its clients notices, and
// what is known of those that stay is kept.
func TestCase46SourcesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.add(func(s *source) { s.keep, s.server.NTPServer = true, "ntp.example.net" })
		b := w.add(func(s *source) { s.keep = true })
		w.start()
		time.Sleep(time.Second)
		set := func(sources ...Source) {
			t.Helper()
			if err := w.pool.SetSources(sources); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		drained := a.asSource()
		drained.Weight = 0
		set(drained, b.asSource(), b.asSource())
		if got, err := w.exchange(); err != nil || got.Server != b.name {
			t.Errorf("%v, %v", got.Server, err)
		}
		if accepted, _ := b.connections(); accepted != 1 {
			t.Errorf("%d connections to a source that stayed", accepted)
		}
		w.wantDenied(b.name)
		before, _ := a.count()
		time.Sleep(5 * time.Minute)
		if after, _ := a.count(); after == before {
			t.Error("a drained source is not watched")
		}
		set(a.asSource())
		if got, err := w.exchange(); err != nil || got.Server != "ntp.example.net" {
			t.Errorf("%v, %v", got.Server, err)
		}
		// The one that has gone is left alone.
		synctest.Wait()
		if n := b.openNow(); n != 0 {
			t.Errorf("%d connections to it are left", n)
		}
		info, _ := b.count()
		time.Sleep(time.Hour)
		if n, _ := b.count(); n != info {
			t.Errorf("asked %d times after it had gone", n-info)
		}
		if err := w.pool.SetSources(nil); !errors.Is(err, ErrNoSources) {
			t.Errorf("%v", err)
		}
		if _, err := w.exchange(); err != nil {
			t.Error(err)
		}
	})
}

// A client gets servers of different owners while there are some.
func TestOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 4 {
			w.add(func(s *source) { s.keep = true })
		}
		w.change = func(c *Config) {
			for i := range c.Sources {
				c.Sources[i].Owner = []string{"one", "one", "two", ""}[i]
			}
		}
		w.start()
		var held []string
		for range 4 {
			got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = held })
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, got.Server)
		}
		if want := "[s0.example.net s2.example.net s3.example.net s1.example.net]"; fmt.Sprint(held) != want {
			t.Errorf("got %v, want %s", held, want)
		}
	})
}

// A client is given a source that can be reached the way the client came.
func TestCase35Families(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		only4 := w.add(func(s *source) { s.keep = true })
		both := w.add(func(s *source) { s.keep, s.addr6 = true, "[2001:db8::11]:4460" })
		w.change = func(c *Config) { c.Listener = anyAddress{c.Listener} }
		w.start()
		time.Sleep(time.Second)
		ask := func(f family, deny string) nts.Response {
			q := nts.KeyExchange{Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: []aead.Algorithm{15}, Deny: nts.DenyInEveryDialect([]string{deny})}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			serial++
			resp, _, _ := w.pool.broker.serve(ctx, q, asker{family: f, shard: allShards, deny: namesIn(q)}, func(_ string, c []byte, n int) ([]byte, error) {
				key := make([]byte, n)
				copy(key, c)
				key[n-1] = serial
				return key, nil
			})
			return resp
		}
		for range 3 {
			if got, ok := ask(ipv6, "x.example").(nts.Established); !ok || got.Server != both.name {
				t.Errorf("over IPv6: %+v", got)
			}
		}
		if got := ask(ipv6, both.name); got != (nts.Failure{Code: nts.InternalServerError}) {
			t.Errorf("over IPv6 without the other: %+v", got)
		}
		if got, ok := ask(ipv4, both.name).(nts.Established); !ok || got.Server != only4.name {
			t.Errorf("over IPv4: %+v", got)
		}
		if w.dialsTo(both.addr6) == 0 || w.dialsTo(both.addr) == 0 {
			t.Error("the source was not asked in both families")
		}
		synctest.Wait()
		if strings.Contains(w.log.String(), "does not work") {
			t.Errorf("log\n%s", w.log.String())
		}
		for from, want := range map[string]family{"192.0.2.1": ipv4, "::ffff:192.0.2.1": ipv4, "2001:db8::1": ipv6} {
			if got := familyOf(netip.MustParseAddr(from)); got != want {
				t.Errorf("%s is %v", from, got)
			}
		}
	})
}

var serial byte

// anyAddress is a listener that clients of both families come to.
type anyAddress struct{ net.Listener }

func (anyAddress) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6unspecified, Port: 4460} }

// A source that is an address has one family.
func TestAddressAsASource(t *testing.T) {
	for domain, want := range map[string][families]bool{
		"192.0.2.1": {true, false}, "2001:db8::1": {false, true}, "ke.example": {true, true},
	} {
		m := newMember(Source{Domain: domain, Port: 1}, new(upstream))
		if got := [families]bool{m.legs[0] != nil, m.legs[1] != nil}; got != want {
			t.Errorf("%s has legs %v", domain, got)
		}
	}
}

// Sources die, return, lie, stall and change their dialect while clients come.
// Nobody's keys reach two sources (which the world judges), everybody is
// answered in time, and nothing is left behind.
func TestTroubledSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 6 {
			w.add(func(s *source) { s.keep = true })
		}
		w.change = func(c *Config) { c.Uniform = nil }
		w.start()
		troubles := []func(*source){
			func(s *source) { s.fixedKey = func(*tls.Conn) []byte { return nil } },
			func(s *source) {
				s.fixedKey = func(c *tls.Conn) []byte {
					c.Write(fromHex(ordinary))
					time.Sleep(20 * time.Second)
					return nil
				}
			},
			func(s *source) { s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0001" + eom) } },
			func(s *source) { s.information = func() []byte { return fromHex("dead beef") } },
			func(s *source) { s.dialects = []nts.Dialect{nts.Draft} },
			func(s *source) { s.dialects = []nts.Dialect{nts.IANA} },
			func(s *source) { s.keep = false },
		}
		var clients sync.WaitGroup
		served, failed := 0, 0
		var mu sync.Mutex
		for round := range 120 {
			s := w.sources[round%len(w.sources)]
			healed := w.sources[(round+3)%len(w.sources)]
			healed.turn(func(s *source) { s.keep, s.fixedKey, s.information = true, nil, nil })
			switch {
			case round%11 == 3:
				w.die(s)
			case round%11 == 7:
				for _, s := range w.sources {
					if l, err := w.net.Listen(s.addr); err == nil {
						t.Cleanup(func() { l.Close() })
						w.running.Go(func() { s.serve(l, &w.running) })
					}
				}
			default:
				s.turn(troubles[(round*7)%len(troubles)])
			}
			for range 5 {
				clients.Go(func() {
					began := time.Now()
					_, err := w.exchange()
					mu.Lock()
					defer mu.Unlock()
					if took := time.Since(began); took > DefaultTimeout+time.Second {
						t.Errorf("a client waited %v", took)
					}
					if served++; err != nil {
						failed++
						var e *ke.Error
						if !errors.As(err, &e) || e.Class != ke.ClassServerError || e.Code != nts.InternalServerError {
							t.Errorf("a client was answered: %v", err)
						}
					}
				})
			}
			time.Sleep(15 * time.Second)
		}
		clients.Wait()
		t.Logf("%d of %d clients got an error", failed, served)
		if failed > served/3 {
			t.Errorf("%d of %d clients got an error", failed, served)
		}
	})
}
