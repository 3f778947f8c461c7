package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

func (w *world) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: w.ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{nts.ALPN}}
}

func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := w.net.Dial(w.t.Context(), "tcp", poolAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// RFC 8915 section 3 and 4: no TLS before 1.3, no other application protocol.
func TestCase40WhoDoesNotSpeakNTSKE(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"no ALPN":      func(c *tls.Config) { c.NextProtos = nil },
		"another ALPN": func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"TLS 1.2":      func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add()
				w.start()
				config := w.clientTLS()
				change(config)
				c := tls.Client(w.connect(), config)
				c.Write(fromHex(ordinary + eom))
				if answer, _ := io.ReadAll(c); len(answer) > 0 {
					t.Errorf("answered %x", answer)
				}
				if _, keys := s.count(); keys != 0 {
					t.Error("keys were sent")
				}
			})
		})
	}
}

// sniffer keeps what a client reads from the network.
type sniffer struct {
	net.Conn
	heard bytes.Buffer
}

func (s *sniffer) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.heard.Write(b[:n])
	return n, err
}

// Some clients read the answer as one TLS record.
func TestCase41OneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) {
			s.fixedKey = func(*tls.Conn) []byte {
				return fromHex("8001 0002 0000 8004 0002 0011" + strings.Repeat("0005 00a8"+strings.Repeat("c0", 168), 8) + eom)
			}
		})
		w.start()
		s := &sniffer{Conn: w.connect()}
		c := tls.Client(s, w.clientTLS())
		if _, err := c.Write(fromHex("8001 0002 0000 8004 0002 0011" + eom)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c) // io.EOF is a close_notify
		if err != nil || len(answer) < 1400 {
			t.Fatalf("%d octets, %v", len(answer), err)
		}
		found := false
		for raw := s.heard.Bytes(); len(raw) >= 5; {
			n := int(binary.BigEndian.Uint16(raw[3:]))
			found = found || n == len(answer)+1+16 // content type and tag
			raw = raw[5+n:]
		}
		if !found {
			t.Error("the answer is not one record")
		}
	})
}

// Nobody holds a place for long by being slow.
func TestCase42SlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		began := time.Now()
		if _, err := io.ReadAll(w.connect()); err != nil {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < handshakeTimeout || took > handshakeTimeout+time.Second {
			t.Errorf("a silent client held its place for %v", took)
		}
		began = time.Now()
		c := tls.Client(w.connect(), w.clientTLS())
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		c.Write(fromHex(ordinary))
		answer, err := io.ReadAll(c)
		if want := fromHex("8002 0002 0001" + eom); err != nil || !bytes.Equal(answer, want) {
			t.Errorf("answered %x, %v", answer, err)
		}
		if took := time.Since(began); took < requestTimeout || took > requestTimeout+time.Second {
			t.Errorf("half a request held its place for %v", took)
		}
		// An octet a second is not progress.
		began = time.Now()
		c = tls.Client(w.connect(), w.clientTLS())
		go func() {
			for _, b := range fromHex(strings.Repeat("40ff 0004 00000000", 100)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > DefaultTimeout {
			t.Errorf("drops held their place for %v", took)
		}
		c.Close()
		time.Sleep(2 * time.Second)
		synctest.Wait()
	})
}

func TestPartsOfALongTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		DefaultTimeout: handshakeTimeout, time.Second: handshakeTimeout, 45 * time.Second: 30 * time.Second,
	} {
		if got := part(timeout, handshakeTimeout); got.Round(time.Millisecond) != want {
			t.Errorf("of %v: %v, want %v", timeout, got, want)
		}
	}
}

// Who comes when the pool is full is turned away at once, and others are
// served as soon as there is room.
func TestCase43FullPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.change = func(c *Config) { c.Connections = 3 }
		w.start()
		held := []net.Conn{w.connect(), w.connect(), w.connect()}
		synctest.Wait()
		began := time.Now()
		if _, err := w.exchange(); err == nil || time.Since(began) > time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		for _, c := range held {
			c.Close()
		}
		synctest.Wait()
		if _, err := w.exchange(); err != nil {
			t.Error(err)
		}
		if log := w.log.String(); strings.Count(log, "some are turned away") != 1 || strings.Contains(log, "198.51.100") {
			t.Errorf("log\n%s", log)
		}
	})
}

func TestSheddingIsFair(t *testing.T) {
	heavy, light := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	f := newFair(nil, 100, nil)
	fill := func(a netip.Addr, n int) (admitted int) {
		for range n {
			if f.admit(networkOf(a)) {
				admitted++
			}
		}
		return admitted
	}
	// While there is room one network may have all of it.
	if n := fill(heavy, 200); n != 75 {
		t.Errorf("a network alone got %d of 100 places", n)
	}
	if n := fill(netip.MustParseAddr("192.0.2.77"), 1); n != 0 {
		t.Error("a neighbour in the same /24 counts as another")
	}
	// Another network gets in under pressure, up to an even share.
	if n := fill(light, 10); n != 10 {
		t.Errorf("a light network got %d of 10", n)
	}
	if n := fill(heavy, 1); n != 0 {
		t.Error("the heavy network got one more")
	}
	for i := range 15 {
		if n := fill(netip.AddrFrom4([4]byte{203, 0, byte(i), 1}), 1); n != 1 {
			t.Errorf("newcomer %d was refused", i)
		}
	}
	if n := fill(netip.MustParseAddr("100.64.0.1"), 1); n != 0 || f.open != 100 {
		t.Errorf("%d open of 100", f.open)
	}
	for range 75 {
		f.free(networkOf(heavy))
	}
	if _, there := f.by[networkOf(heavy)]; there || f.open != 25 {
		t.Errorf("%d open, networks %v", f.open, f.by)
	}
	if n := fill(heavy, 1); n != 1 {
		t.Error("no room after all have gone")
	}
}

func TestNetworks(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.255": "192.0.2.0/24", "2001:db8:1:2ff::1": "2001:db8:1:200::/56",
	} {
		if got := networkOf(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is in %v", addr, got)
		}
	}
	if got := addrOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"))); got.String() != "192.0.2.1" {
		t.Errorf("%v", got)
	}
	if got := networkOf(addrOf(&net.UnixAddr{})); got.IsValid() {
		t.Errorf("%v", got)
	}
	for addr, want := range map[string]string{"0.0.0.0:1": "[IPv4]", "[::]:1": "[IPv4 IPv6]", "[::1]:1": "[IPv6]", "127.0.0.1:1": "[IPv4]"} {
		if got := fmt.Sprint(served(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)))); got != want {
			t.Errorf("at %s clients of %s", addr, got)
		}
	}
}

// A client that denies the same servers again and again is told off without
// troubling a source; what others do from the same address is not counted.
func TestCase44RepeatedDenials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		denies := func(name string) error {
			_, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{name} })
			return err
		}
		for i := range 10 {
			err := denies("a.example")
			var e *ke.Error
			if refused := errors.As(err, &e) && e.Code == nts.InternalServerError; refused != (i >= repeatMost) {
				t.Errorf("request %d: %v", i, err)
			}
			time.Sleep(time.Second)
		}
		if _, keys := s.count(); keys != repeatMost {
			t.Errorf("the source was asked %d times", keys)
		}
		for i := range 50 {
			if err := denies(fmt.Sprintf("b%d.example", i)); err != nil {
				t.Error(err)
			}
			if _, err := w.exchange(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(repeatWithin)
		if err := denies("A.example."); err != nil {
			t.Error(err)
		}
	})
}

// To deny everything costs the pool nothing but the answer.
func TestCase34EverythingDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add(), w.add()
		w.start()
		time.Sleep(time.Second)
		before, _ := a.connections()
		for range 3 {
			w.wantDenied(a.name, b.name)
		}
		if after, _ := a.connections(); after != before {
			t.Errorf("%d connections", after-before)
		}
	})
}

// A pool that is told to stop serves those who are there, and then goes with
// its connections.
func TestCase46Drain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep = true })
		w.start()
		time.Sleep(time.Second)
		var clients []*tls.Conn
		for range 20 {
			c := tls.Client(w.connect(), w.clientTLS())
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		synctest.Wait()
		w.stop()
		synctest.Wait()
		if _, err := w.exchange(); err == nil {
			t.Error("a client was taken after the end")
		}
		for _, c := range clients {
			if _, err := c.Write(fromHex(ordinary + eom)); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if resp, derr := nts.DecodeResponse(answer); err != nil || derr != nil {
				t.Errorf("%v, %v, %v", resp, err, derr)
			}
			c.Close()
		}
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.open) != 0 {
			t.Errorf("%d connections to the source are left", len(s.open))
		}
	})
}

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
			resp, _ := w.pool.broker.serve(ctx, q, f, func(_ string, c []byte, n int) ([]byte, error) {
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
		m := newMember(Source{Domain: domain, Port: 1}, nil)
		if got := [families]bool{m.legs[0] != nil, m.legs[1] != nil}; got != want {
			t.Errorf("%s has legs %v", domain, got)
		}
	}
}

// AEAD_AES_128_GCM_SIV is for clients whose keys are surely those of RFC 8915
// section 5.1: record 1024 says so, and the answer echoes it.
func TestCase38CompliantGCMSIV(t *testing.T) {
	for _, c := range []struct {
		name, question string
		list           string // what the source supports
		want           string // the algorithm
		echo           bool
		keyLen         int
	}{
		{"30 and 15 without the record", "8004 0004 001e 000f", "000f0020 001e0010", "15", false, 32},
		{"30 and 15 with the record", "8004 0004 001e 000f 0400 0000", "000f0020 001e0010", "30", true, 16},
		{"with the record, the source lacks 30", "8004 0004 001e 000f 0400 0000", "000f0020", "15", false, 32},
		{"with the record, wrong key length", "8004 0004 001e 000f 0400 0000", "000f0020 001e0020", "15", false, 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add()
				s.information = func() []byte {
					list := fromHex(c.list)
					return fromHex(fmt.Sprintf("8009 0002 0000 800a %04x %x"+eom, len(list), list))
				}
				s.fixedKey = func(*tls.Conn) []byte {
					keys := s.fixedKeys()
					return fromHex(fmt.Sprintf("8001 0002 0000 8004 0002 %04x 0005 0004 01020304"+eom, uint16(keys[len(keys)-1].Algorithm)))
				}
				w.start()
				conn := tls.Client(w.connect(), w.clientTLS())
				conn.Write(fromHex("8001 0002 0000" + c.question + eom))
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := nts.DecodeResponse(answer)
				est, ok := resp.(nts.Established)
				if !ok || fmt.Sprint(uint16(est.Algorithm)) != c.want || est.CompliantGCMSIV != c.echo {
					t.Fatalf("%+v, %v", resp, err)
				}
				state := conn.ConnectionState()
				c2s, s2c, err := nts.ExportKeys(state.ExportKeyingMaterial, nts.NTPv4, est.Algorithm, c.keyLen)
				if keys := s.fixedKeys()[0]; err != nil || !bytes.Equal(keys.C2S, c2s) || !bytes.Equal(keys.S2C, s2c) {
					t.Error("the source has other keys than the client")
				}
			})
		})
	}
}

// At the most talkative level, too, neither keys, cookies and tokens nor, at
// the usual one, addresses of clients get into the log of a run in which much
// goes wrong.
func TestCase48NothingSecretAtAnyLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelDebug - 4
		w.add(func(s *source) { s.keep, s.token = true, "hush-hush" })
		w.add(func(s *source) {
			s.token = "hush-hush"
			s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0001" + eom) }
		})
		w.add(func(s *source) { s.down, s.token = true, "hush-hush" })
		w.start()
		var results []ke.Result
		for range 4 {
			if got, err := w.exchange(); err == nil {
				results = append(results, got)
			}
			w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"s0.example.net"} })
			time.Sleep(time.Minute)
		}
		if len(results) == 0 {
			t.Fatal("nobody was served")
		}
		log := w.log.String()
		for _, r := range results {
			for _, secret := range []string{string(r.C2S), fmt.Sprintf("%x", []byte(r.C2S)), string(r.S2C), fmt.Sprintf("%x", []byte(r.S2C)), string(r.Cookies[0]), "hush"} {
				if strings.Contains(log, secret) {
					t.Errorf("the log holds %q", secret)
				}
			}
		}
		for line := range strings.Lines(log) {
			if strings.Contains(line, "198.51.100") && !strings.Contains(line, "level=DEBUG") {
				t.Errorf("a client's address: %s", line)
			}
		}
	})
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
