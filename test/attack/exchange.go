package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the key-exchange server.
var exchangeRows = []scene.Row{
	{ID: "T03", P0: true, What: "arbitrary and damaged messages to the key exchange", Prove: arbitraryMessages},
	{ID: "T17", P0: true, What: "10,000 connections to the key exchange of a daemon with 64 descriptors", Prove: tenThousand},
	{ID: "T18", P0: true, What: "slow clients at every stage of a key exchange", Prove: slowloris},
	{ID: "T19", P0: true, What: "clients with no or another application protocol, and with older TLS", Prove: wrongTLS},
	{ID: "T23", P0: true, What: "requests against every rule of RFC 8915", Prove: badRequests},
	{ID: "CROWD", Alone: true, What: "handshakes that are begun again and again from one network, with a server that has a tenth of a processor", Prove: handshakeCrowd},
	{ID: "T55", What: "floods of empty records, key updates, single octets and garbage after the handshake", Prove: hostileTLSClient},
}

const exchangeAddr = "127.0.0.1:4460"

// exchanging starts a server and shows that its key exchange works.
func exchanging(t *scene.Trial, wrapper ...string) (*lab.Host, *scene.Daemon) {
	h := t.Host("host")
	d := t.DaemonBehind(h, wrapper, "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	honest(t, h)
	t.Control("an honest client gets keys")
	return h, d
}

func honest(t *scene.Trial, h *lab.Host) {
	s := t.Session(h, exchangeAddr, "server.test")
	if len(s.Cookies) != 8 {
		t.Fatal("%d cookies", len(s.Cookies))
	}
}

// client opens a TLS connection to the key exchange.
func client(t *scene.Trial, h *lab.Host, change func(c *tls.Config)) (*tls.Conn, error) {
	raw, err := t.Connect(h, exchangeAddr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: t.Roots, ServerName: "server.test", NextProtos: []string{nts.ALPN}}
	if change != nil {
		change(config)
	}
	c := tls.Client(raw, config)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if err := c.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// ask sends a message as it is and returns all that is said to it.
func ask(t *scene.Trial, h *lab.Host, message []byte) ([]byte, error) {
	c, err := client(t, h, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(message); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(c, 1<<20))
}

func record(kind uint16, critical bool, body ...byte) []byte {
	b, err := nts.AppendRecord(nil, nts.Record{Type: kind, Critical: critical, Body: body})
	if err != nil {
		panic(err) // rows do not ask for more than fits
	}
	return b
}

// The records of an honest request.
var (
	protocols = record(1, true, 0, 0)
	aeads     = record(4, true, 0, 15)
	end       = record(0, true)
)

func message(records ...[]byte) []byte { return slices.Concat(records...) }

// errorCode is the code of an answer that is an Error and nothing else, or -1.
func errorCode(answer []byte) int {
	if len(answer) == 10 && binary.BigEndian.Uint16(answer) == 0x8002 {
		return int(binary.BigEndian.Uint16(answer[4:]))
	}
	return -1
}

func arbitraryMessages(t *scene.Trial) {
	h, d := exchanging(t)
	random := rand.New(rand.NewPCG(3, 3))
	good := message(protocols, aeads, end)
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	answered := 0
	for i := range 300 {
		b := scene.Random(1 + random.IntN(3000))
		switch i % 3 {
		case 1:
			b = slices.Clone(good)
			for range 1 + random.IntN(3) {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
		case 2:
			b = nil
			for range random.IntN(40) {
				b = append(b, record(uint16(random.IntN(16)), random.IntN(2) == 0, scene.Random(random.IntN(8))...)...)
			}
			b = append(b, end...)
		}
		c, err := client(t, h, nil)
		t.Check(err)
		_, err = c.Write(b)
		t.Check(err)
		t.Check(c.CloseWrite())
		answer, _ := io.ReadAll(io.LimitReader(c, 1<<20)) // a reset would be no crash
		c.Close()
		if len(answer) > 4096 {
			t.Fatal("an answer of %d octets", len(answer))
		}
		if len(answer) > 0 {
			answered++
		}
	}
	honest(t, h)
	t.Alive(d.Process)
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 32<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("300 messages, %d answered, memory %+d KiB, the next honest client gets keys", answered, (after-before)>>10)
}

func tenThousand(t *scene.Trial) {
	h, d := exchanging(t, "prlimit", "--nofile=64:64")
	const crowd = 10000
	closeAll, refused := t.Crowd(h, exchangeAddr, crowd)
	t.Check(refused)
	s := t.Dial(h, "127.0.0.1:123")
	for range 200 {
		replies, err := s.Volley([][]byte{scene.Plain()})
		if err != nil || len(replies) != 1 {
			t.Fatal("NTP suffers: %d answers (%v)", len(replies), err)
		}
	}
	files, err := lab.Descriptors(d.Pid())
	t.Check(err)
	closeAll()
	begin := time.Now()
	t.Eventually(5*time.Second, func() error {
		_, err := t.KeyExchange(h, exchangeAddr, "server.test")
		return err
	})
	t.Alive(d.Process)
	t.Saw("%d connections, %d descriptors in use, no NTP request lost, honest keys %.1f s after the end", crowd, files, time.Since(begin).Seconds())
}

// longestExchange is the time after which every slow client is gone: the configured second, the grace for the answer, the
// wait for the client to close, and what a busy machine adds.
const longestExchange = 4 * time.Second

func slowloris(t *scene.Trial) {
	h, d := exchanging(t)
	hello := scene.ClientHello()
	stages := map[string]func() (net.Conn, []byte, error){
		"nothing":          func() (net.Conn, []byte, error) { c, err := t.Connect(h, exchangeAddr); return c, nil, err },
		"a slow handshake": func() (net.Conn, []byte, error) { c, err := t.Connect(h, exchangeAddr); return c, hello, err },
		"no request":       func() (net.Conn, []byte, error) { c, err := client(t, h, nil); return c, nil, err },
		"a slow request": func() (net.Conn, []byte, error) {
			c, err := client(t, h, nil)
			return c, message(protocols, aeads, record(0x4321, false, make([]byte, 500)...), end), err
		},
		"no end of message": func() (net.Conn, []byte, error) {
			c, err := client(t, h, nil)
			if err == nil {
				_, err = c.Write(message(protocols, aeads))
			}
			return c, nil, err
		},
	}
	for name, open := range stages {
		begin := time.Now()
		c, slowly, err := open()
		t.Check(err)
		stop := make(chan struct{})
		go func() {
			for _, b := range slowly {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		t.Check(c.SetReadDeadline(begin.Add(2 * longestExchange)))
		answer, err := io.ReadAll(c)
		close(stop)
		c.Close()
		var timeout net.Error
		if took := time.Since(begin); took > longestExchange || errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("a client with %s was kept for %v (%v)", name, took, err)
		}
		if _, over := c.(*tls.Conn); over && errorCode(answer) != 1 {
			t.Fatal("a client with %s got %x instead of Error 1", name, answer)
		}
	}
	// A crowd of them leaves room for the honest, later than usual at most.
	var crowd []net.Conn
	for range 400 {
		c, err := t.Connect(h, exchangeAddr)
		if errors.Is(err, syscall.ECONNRESET) {
			break // one network does not get all places
		}
		t.Check(err)
		crowd = append(crowd, c)
	}
	if len(crowd) < 300 {
		t.Fatal("no crowd: only %d of 400 could connect", len(crowd))
	}
	begin := time.Now()
	t.Eventually(5*time.Second, func() error {
		_, err := t.KeyExchange(h, exchangeAddr, "server.test")
		return err
	})
	took := time.Since(begin)
	for _, c := range crowd {
		c.Close()
	}
	t.Alive(d.Process)
	t.Saw("%d stages end in time, with Error 1 where TLS is up; beside %d idle clients keys take %v", len(stages), len(crowd), took.Round(time.Millisecond))
}

func wrongTLS(t *scene.Trial) {
	h, d := exchanging(t)
	good := message(protocols, aeads, end)
	cases := map[string]func(c *tls.Config){
		"no application protocol": func(c *tls.Config) { c.NextProtos = nil },
		"another one":             func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"nearly the right one":    func(c *tls.Config) { c.NextProtos = []string{"ntske/2", "NTSKE/1"} },
		"TLS 1.2":                 func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"TLS 1.1":                 func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
	}
	for name, change := range cases {
		c, err := client(t, h, change)
		if err != nil {
			continue // refused in the handshake
		}
		_, _ = c.Write(good) // may fail already
		answer, _ := io.ReadAll(c)
		c.Close()
		if len(answer) > 0 {
			t.Fatal("a client with %s got %d octets", name, len(answer))
		}
	}
	// Sessions are not resumed: every exchange has a handshake of its own.
	cache := tls.NewLRUClientSessionCache(4)
	for range 2 {
		c, err := client(t, h, func(c *tls.Config) { c.ClientSessionCache = cache })
		t.Check(err)
		_, err = c.Write(good)
		t.Check(err)
		_, err = io.ReadAll(c)
		t.Check(err)
		if c.ConnectionState().DidResume {
			t.Fatal("a session was resumed")
		}
		c.Close()
	}
	t.Alive(d.Process)
	t.Saw("%d wrong clients got nothing; nothing is resumed", len(cases))
	wrongServers(t)
}

func badRequests(t *scene.Trial) {
	h, d := exchanging(t)
	cases := []struct {
		name    string
		message []byte
		want    int // code of the error, -1 for success
	}{
		{"honest", message(protocols, aeads, end), -1},
		{"unknown record, not critical", message(protocols, record(0x4321, false, 1, 2, 3), aeads, end), -1},
		{"2,000 octets of unknown records", message(protocols, record(0x4321, false, make([]byte, 2000)...), aeads, end), -1},
		{"algorithm record not critical", message(protocols, record(4, false, 0, 15), end), -1},
		{"several algorithms", message(protocols, record(4, true, 0x7f, 0xff, 0, 15), end), -1},
		{"several protocols", message(record(1, true, 0x7f, 0, 0, 0), aeads, end), -1},
		{"unknown record, critical", message(protocols, record(0x4321, true), aeads, end), 0},
		{"two protocol records", message(protocols, protocols, aeads, end), 1},
		{"two algorithm records", message(protocols, aeads, aeads, end), 1},
		{"no protocol record", message(aeads, end), 1},
		{"no algorithm record", message(protocols, end), 1},
		{"empty protocol list", message(record(1, true), aeads, end), 1},
		{"empty algorithm list", message(protocols, record(4, true), end), 1},
		{"odd protocol list", message(record(1, true, 0, 0, 0), aeads, end), 1},
		{"odd algorithm list", message(protocols, record(4, true, 0, 15, 0), end), 1},
		{"a client's cookie", message(protocols, aeads, record(5, false, 1, 2, 3), end), 1},
		{"a client's Error", message(protocols, aeads, record(2, true, 0, 1), end), 1},
		{"a client's Warning", message(protocols, aeads, record(3, true, 0, 1), end), 1},
		{"end with a body", message(protocols, aeads, record(0, true, 1)), 1},
		{"end that is not critical", message(protocols, aeads, record(0, false)), 1},
		{"nothing but the end", end, 1},
		{"two servers", message(protocols, aeads, record(6, false, []byte("a.test")...), record(6, false, []byte("b.test")...), end), 1},
		{"fixed keys of a stranger", message(protocols, aeads, record(12, true, make([]byte, 64)...), end), 0},
	}
	for _, c := range cases {
		answer, err := ask(t, h, c.message)
		t.Check(err)
		if got := errorCode(answer); got != c.want || len(answer) == 0 {
			t.Fatal("%s: error %d (%d octets), want %d", c.name, got, len(answer), c.want)
		}
	}
	// More than the server reads.
	if answer, err := ask(t, h, message(protocols, record(0x4321, false, make([]byte, 30000)...), aeads, end)); err == nil && errorCode(answer) != 1 {
		t.Fatal("a request of 30,000 octets got %d octets", len(answer))
	}
	// Octet by octet, each a TLS record of its own.
	c, err := client(t, h, nil)
	t.Check(err)
	for _, b := range message(protocols, aeads, end) {
		_, err := c.Write([]byte{b})
		t.Check(err)
	}
	answer, err := io.ReadAll(c)
	t.Check(err)
	c.Close()
	if errorCode(answer) != -1 || len(answer) < 100 {
		t.Fatal("a request in single octets got %x", answer)
	}
	t.Alive(d.Process)
	t.Saw("%d requests, each with the answer that the RFC wants", len(cases)+2)
}

func hostileTLSClient(t *scene.Trial) {
	h, d := exchanging(t)
	before, err := lab.CPU(d.Pid())
	t.Check(err)
	begin, n := time.Now(), 0
	floods := map[string]func(c *handmade) error{
		"garbage under TLS": func(c *handmade) error { _, err := c.NetConn().Write(scene.Random(1 << 14)); return err },
		"empty records":     func(c *handmade) error { return c.send(applicationData, nil) },
		"key updates":       func(c *handmade) error { return c.updateKeys(false) },
		"key updates, each to be answered with one": func(c *handmade) error { return c.updateKeys(true) },
		"single octets": func(c *handmade) error { _, err := c.Write([]byte{0x43}); return err },
		"plain records": func(c *handmade) error {
			_, err := c.NetConn().Write([]byte{20, 3, 3, 0, 1, 1}) // change_cipher_spec
			return err
		},
		"unknown records": func(c *handmade) error { _, err := c.Write(record(0x4321, false, make([]byte, 1000)...)); return err },
	}
	understood(t, h)
	for name, flood := range floods {
		for range 20 {
			c := handmadeClient(t, h)
			opened := time.Now()
			var err error
			for i := 0; i < 10000 && err == nil && time.Since(opened) < 2*longestExchange; i++ {
				err = flood(c)
			}
			_ = c.SetReadDeadline(opened.Add(2 * longestExchange))
			_, err = io.Copy(io.Discard, c)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("%s: the connection stays", name)
			}
			c.Close()
			n++
		}
	}
	after, err := lab.CPU(d.Pid())
	t.Check(err)
	honest(t, h)
	t.Alive(d.Process)
	each := (after - before) / time.Duration(n)
	if each > 200*time.Millisecond {
		t.Fatal("each flood costs %v of processor time", each)
	}
	t.Saw("%d floods in %.0f s, %v of processor time each, all closed", n, time.Since(begin).Seconds(), each.Round(time.Microsecond))
}
