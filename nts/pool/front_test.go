package pool

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
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
		if n := w.pool.Connected(); n != 3 {
			t.Errorf("%d are connected", n)
		}
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

// A fault of the pool's own that clients find ends their connections and nothing
// else: each is counted and logged with its place, no place for a client stays
// taken, no source gets keys, and the next client is served.
func TestAFaultEndsOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add()
		faulty := true
		w.change = func(c *Config) {
			c.Connections = 2
			c.Uniform = func(uint64) uint64 {
				if faulty {
					panic("no number")
				}
				return 0
			}
		}
		w.start()
		for range 3 { // more than there are places
			if got, err := w.exchange(); err == nil {
				t.Errorf("%+v", got)
			}
			synctest.Wait()
		}
		if n, keys, counted := w.pool.Connected(), len(s.fixedKeys()), w.pool.Status().Outcomes[Panicked.String()]; n != 0 || keys != 0 || counted != 3 {
			t.Errorf("%d are connected, keys went out %d times, %d faults are counted", n, keys, counted)
		}
		if log := w.log.String(); !strings.Contains(log, "code=fault") || !strings.Contains(log, "no number at front_test.go:") {
			t.Errorf("log\n%s", log)
		}
		faulty = false
		if got, err := w.exchange(); err != nil || got.Server != s.name {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestServedFamilies(t *testing.T) {
	for _, c := range []struct {
		addr, directly, balanced string
	}{
		{"0.0.0.0:1", "IPv4", "IPv4 IPv6"},
		{"[::]:1", "IPv4 IPv6", "IPv4 IPv6"},
		{"[::1]:1", "IPv6", "IPv6 IPv4"},
		{"127.0.0.1:1", "IPv4", "IPv4 IPv6"},
	} {
		for balanced, want := range map[bool]string{false: c.directly, true: c.balanced} {
			var got []string
			for _, f := range served(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.addr)), balanced) {
				got = append(got, f.String())
			}
			if strings.Join(got, " ") != want {
				t.Errorf("at %s, behind balancers %v: clients of %v", c.addr, balanced, got)
			}
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

// A certificate that is replaced is shown to the next client, and who is in the
// middle of an exchange ends it with the one of before.
func TestCase46CertificateIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.keep = true })
		old, fresh := w.own, w.ca.Leaf([]string{"192.0.2.1"})
		var shown atomic.Pointer[tls.Config]
		shown.Store(&tls.Config{Certificates: []tls.Certificate{old.TLS}})
		w.change = func(c *Config) { c.TLS = shown.Load }
		w.start()
		shake := func() *tls.Conn {
			c := tls.Client(w.connect(), w.clientTLS())
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			return c
		}
		serial := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].SerialNumber.String() }
		first := shake()
		shown.Store(&tls.Config{Certificates: []tls.Certificate{fresh.TLS}})
		second := shake()
		if serial(first) == serial(second) {
			t.Error("the certificate of before is shown")
		}
		for _, c := range []*tls.Conn{first, second} {
			c.Write(fromHex(ordinary + eom))
			answer, err := io.ReadAll(c)
			if resp, derr := nts.DecodeResponse(answer); err != nil || derr != nil {
				t.Errorf("%v, %v, %v", resp, err, derr)
			} else if _, ok := resp.(nts.Established); !ok {
				t.Errorf("%+v", resp)
			}
		}
	})
}
