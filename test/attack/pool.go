package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the pool, by clients and by its time sources.
var poolRows = []scene.Row{
	{ID: "T71", What: "PROXY headers that lie, break off, dribble or come from strangers", Prove: proxyHeaders},
	{ID: "T72", What: "a time source that answers with other algorithms, extra records, garbage or nothing", Prove: maliciousSource},
	scene.Row{ID: "T73", What: "a pool's source that fails before and after it has the client's keys", Prove: keysOfOneSource}.Also(
		"nts/pool TestHandoverCanBeUsedOnce TestHandoverIsUsedUpByAFailure"),
	{ID: "T74", What: "strangers that ask a time source as only a pool may", Prove: poolRequests},
	{ID: "T75", What: "10,000 idle connections to the pool, and a source that hangs", Prove: poolCrowd},
	{ID: "T76", What: "100 reloads of the pool's configuration amid exchanges", Prove: poolReloads},
}

const poolAddr = "127.0.0.4:4460"

// member is a time source of the pool at an address, as NAME.test.
func member(name, addr string) string {
	return strings.NewReplacer("127.0.0.1", addr, "server.", name+".").Replace(
		strings.Replace(scene.Server, "[synchronization]", "accepted-pool-authentication-tokens = [\"the-token-of-the-pool\"]\nauthorized-pool-server-certificates = [\"/run/lab/pool.pem\"]\n[synchronization]", 1))
}

// pooled starts two time sources and the pool. The second one is a daemon unless hostile is set.
func pooled(t *scene.Trial, hostile func(c *tls.Conn), wrapper ...string) (*lab.Host, *lab.Process) {
	h := t.Host("host")
	one := t.Daemon(h, "one", member("server", "127.0.0.1"))
	t.Serving(one, "127.0.0.1:123")
	if hostile != nil {
		t.Hostile(h, "127.0.0.2:4460", t.TLSConfig("second"), hostile)
	} else {
		t.Serving(t.Daemon(h, "two", member("second", "127.0.0.2")), "127.0.0.2:123")
	}
	return h, startPool(t, h, wrapper...)
}

const poolText = `[nts-pool-ke-server]
listen = "127.0.0.4:4460"
certificate-authority-path = "/run/lab/ca.pem"
certificate-chain-path = "/run/lab/pool.chain.pem"
private-key-path = "/run/lab/pool.key"
key-exchange-timeout-ms = 3000
key-exchange-servers = [
    { domain = "server.test", port = 4460 },
    { domain = "second.test", port = 4460 },
]
`

// startPool starts the pool and waits for the first client with keys that work.
func startPool(t *scene.Trial, h *lab.Host, wrapper ...string) *lab.Process {
	p := t.Pool(h, poolText, wrapper...)
	awaitPool(t, h, p)
	return p
}

func awaitPool(t *scene.Trial, h *lab.Host, p *lab.Process) {
	var s *scene.Session
	t.Eventually(20*time.Second, func() error {
		if ended, err := p.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("the pool ended (%v): %s", err, p.Tail(3))}
		}
		var err error
		s, err = t.KeyExchange(h, poolAddr, "pool.test")
		return err
	})
	if strings.HasPrefix(s.Server, "server") || s.Server == "127.0.0.1" {
		if a := useKeys(t, h, s); !a.Authentic {
			t.Fatal("keys of the pool do not work")
		}
	}
	t.Control("a client of the pool gets keys that work")
}

// useKeys uses the keys of a session at the server that goes with them.
func useKeys(t *scene.Trial, h *lab.Host, s *scene.Session) scene.Answer {
	addr := s.Server
	if ip, ok := scene.Names[strings.TrimSuffix(addr, ".")]; ok {
		addr = ip.String()
	}
	return one(t, t.Dial(h, fmt.Sprintf("%s:%d", addr, s.Port)), s, s.Request(scene.Parts{}))
}

// capable is a source that says truly what it supports, so that it is given clients, and then does something else with their
// keys.
func capable(withKeys func(c *tls.Conn)) func(c *tls.Conn) {
	support := message(record(nts.TypeSupportedProtocols, false, 0, 0), record(nts.TypeSupportedAlgorithms, false, 0, 15, 0, 32, 0, 17, 0, 64), end)
	return func(c *tls.Conn) {
		b := make([]byte, 8192)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			records, err := nts.SplitMessage(b[:n])
			if err != nil {
				return
			}
			keys := slices.ContainsFunc(records, func(r nts.Record) bool {
				return r.Type == nts.TypeFixedKey || r.Type == nts.TypeDraftFixedKey
			})
			if keys {
				withKeys(c)
				return
			}
			if _, err := c.Write(support); err != nil {
				return
			}
		}
	}
}

func maliciousSource(t *scene.Trial) {
	answers := [][]byte{
		message(protocols, record(4, true, 0, 1), cookies(8, 100), end),
		message(record(1, true, 0, 7), aeads, cookies(8, 100), end),
		message(protocols, aeads, record(8, false), record(0x4321, true), cookies(50, 100), end),
		message(record(2, true, 0, 0), end),
		message(record(2, true, 0, 2), end),
		message(record(3, true, 0, 1), end),
		message(protocols, aeads, end),
		message(record(9, true, 0, 0), record(10, true, 0, 15, 0, 32), end),
		scene.Random(300),
		nil,
	}
	var asked atomic.Int64
	var current atomic.Int64
	h, p := pooled(t, capable(func(c *tls.Conn) {
		asked.Add(1)
		if answer := answers[current.Load()]; len(answer) > 0 {
			_, _ = c.Write(answer) // what becomes of it is the pool's affair
		}
	}))
	good, refused, strange := 0, 0, 0
	for i := range answers {
		p.Stop()
		current.Store(int64(i))
		before := asked.Load()
		p = startPool(t, h) // one that has not met the source yet
		for n := range 30 {
			if n%2 == 0 {
				ofRFC8915(t, h, i)
				strange++
			} else if s, err := t.KeyExchange(h, poolAddr, "pool.test"); err != nil {
				refused++ // an error is allowed; strange records and keys that do not work are not
			} else if a := useKeys(t, h, s); !a.Authentic {
				t.Fatal("keys that do not work, of %s", s.Server)
			} else {
				good++
			}
			if asked.Load() > before && n > 5 {
				break
			}
		}
		if asked.Load() == before {
			t.Fatal("the hostile source was given no client for its answer %d: the row shows nothing", i)
		}
		t.Alive(p)
	}
	t.Saw("%d clients were given to the hostile source with %d kinds of answers; %d others got keys that work, %d an error; %d looked at the records: none but those of RFC 8915",
		asked.Load(), len(answers), good, refused, strange)
}

// poolClient is the client's end of TLS with the pool.
func poolClient(t *scene.Trial, c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{RootCAs: t.Roots, ServerName: "pool.test", NextProtos: []string{nts.ALPN}})
}

// ofRFC8915 has a client look at every record that the pool gives it: none may be of a type that RFC 8915 does not know, none
// a cookie that the hostile source made, and there are at most eight.
func ofRFC8915(t *scene.Trial, h *lab.Host, kind int) {
	raw, err := t.Connect(h, poolAddr)
	t.Check(err)
	c := poolClient(t, raw)
	defer c.Close()
	t.Check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = c.Write(message(protocols, aeads, end))
	t.Check(err)
	answer, err := io.ReadAll(io.LimitReader(c, 1<<20))
	t.Check(err)
	records, err := nts.SplitMessage(answer)
	t.Check(err)
	cookies := 0
	for _, r := range records {
		if r.Type > nts.TypePort {
			t.Fatal("answer %d of a source: its record of type %d reached a client", kind, r.Type)
		}
		if r.Type == nts.TypeCookie {
			cookies++
			if bytes.Count(r.Body, []byte{7}) == len(r.Body) {
				t.Fatal("answer %d of a source: its cookies reached a client", kind)
			}
		}
	}
	if cookies > 8 {
		t.Fatal("answer %d of a source: %d cookies reached a client", kind, cookies)
	}
}

func poolRequests(t *scene.Trial) {
	h, _ := pooled(t, nil)
	fixed := record(nts.TypeFixedKey, true, make([]byte, 64)...)
	token := record(nts.TypeToken, true, []byte("the-token-of-the-pool")...)
	wrong := record(nts.TypeToken, true, []byte("the-token-of-the-poor")...)
	cases := []struct {
		name    string
		message []byte
		want    int
	}{
		{"fixed keys with the token", message(token, fixed, protocols, aeads, end), -1},
		{"fixed keys without", message(fixed, protocols, aeads, end), 0},
		{"fixed keys with a wrong token", message(wrong, fixed, protocols, aeads, end), 0},
		{"fixed keys of a wrong length", message(token, record(nts.TypeFixedKey, true, make([]byte, 63)...), protocols, aeads, end), 1},
		{"fixed keys for two algorithms", message(token, fixed, protocols, record(4, true, 0, 15, 0, 17), end), 1},
		{"two fixed keys", message(token, fixed, fixed, protocols, aeads, end), 1},
		{"keep-alive without a token", message(record(nts.TypeKeepAlive, false), protocols, aeads, end), -1},
	}
	for _, c := range cases {
		answer, err := ask(t, h, c.message)
		t.Check(err)
		if got := errorCode(answer); got != c.want || len(answer) == 0 {
			t.Fatal("%s: error %d (%d octets), want %d", c.name, got, len(answer), c.want)
		}
	}
	// Whoever has no token is not kept: the connection ends with the answer.
	c, err := client(t, h, nil)
	t.Check(err)
	_, err = c.Write(message(record(nts.TypeKeepAlive, false), protocols, aeads, end))
	t.Check(err)
	begin := time.Now()
	_, err = io.ReadAll(c)
	t.Check(err)
	c.Close()
	if time.Since(begin) > 3*time.Second {
		t.Fatal("a stranger's connection is kept")
	}
	t.Saw("%d requests, each answered as the draft says; no stranger's connection is kept", len(cases))
}

func poolCrowd(t *scene.Trial) {
	var stalled atomic.Int64
	h, p := pooled(t, capable(func(c *tls.Conn) {
		stalled.Add(1)
		_, _ = io.Copy(io.Discard, c) // never an answer
	}), "prlimit", "--nofile=256:256")
	slow := time.Duration(0)
	for range 10 {
		begin := time.Now()
		_, _ = t.KeyExchange(h, poolAddr, "pool.test") // an error is allowed, waiting for ever is not
		slow = max(slow, time.Since(begin))
	}
	if slow > 5*time.Second || stalled.Load() == 0 {
		t.Fatal("a client waited %v, %d clients were given to the source that hangs", slow, stalled.Load())
	}
	closeAll, refused := t.Crowd(h, poolAddr, 10000)
	t.Check(refused)
	t.Pause(time.Second)
	t.Alive(p)
	memory, err := lab.Memory(p.Pid())
	t.Check(err)
	if memory > 128<<20 {
		t.Fatal("the pool uses %d octets beside 10,000 connections", memory)
	}
	closeAll()
	begin := time.Now()
	t.Eventually(15*time.Second, func() error { _, err := t.KeyExchange(h, poolAddr, "pool.test"); return err })
	t.Alive(p)
	t.Saw("with a source that hangs a client waits %v at most; after 10,000 connections (%d MiB) keys again within %.1f s",
		slow.Round(time.Millisecond), memory>>20, time.Since(begin).Seconds())
}

func poolReloads(t *scene.Trial) {
	h, p := pooled(t, nil)
	failed, exchanges := 0, 0
	for range 100 {
		t.Check(p.Signal(syscall.SIGHUP))
		for range 2 {
			exchanges++
			if _, err := t.KeyExchange(h, poolAddr, "pool.test"); err != nil {
				failed++
			}
		}
	}
	if failed > 0 {
		t.Fatal("%d of %d exchanges failed", failed, exchanges)
	}
	if n := strings.Count(p.Text(), "read the configuration anew"); n < 50 {
		t.Fatal("only %d reloads", n)
	}
	t.Saw("%d exchanges amid %d reloads, none failed", exchanges, strings.Count(p.Text(), "read the configuration anew"))
}
