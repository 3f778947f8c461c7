package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Too much of everything.
var crowdRows = []scene.Row{
	{ID: "X14", What: "400 clients of the key exchange that idle at every stage, all the time", Prove: idlers},
	{ID: "X15", What: "1,000 damaged handshakes", Prove: damagedHandshakes},
	{ID: "X16", What: "garbage and protected requests with made-up cookies, as fast as two senders can", Prove: floods},
	{ID: "X17", What: "floods and idlers at a daemon that is allowed 48 MiB", Prove: ceiling},
	{ID: "X20", What: "a pool with five sources, four of which fail in different phases", Prove: troubledPool},
}

const exchangeAddr = "127.0.0.1:4460"

func serving(t *scene.Trial, wrapper ...string) (*lab.Host, *scene.Daemon) {
	h := t.Host("host")
	d := t.DaemonBehind(h, wrapper, "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	t.Session(h, exchangeAddr, "server.test")
	t.Control("NTP and keys are served")
	return h, d
}

// idle keeps n connections to the key exchange busy with nothing until the returned function is called.
func idle(t *scene.Trial, h *lab.Host, n int) (stop func() int) {
	done := make(chan struct{})
	var all sync.WaitGroup
	var opened atomic.Int64
	for i := range n {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c, err := t.Connect(h, exchangeAddr)
				if err != nil {
					continue // the backlog is full
				}
				opened.Add(1)
				if i%2 == 0 {
					_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1}) // a handshake that goes no further
				}
				go func() {
					<-done
					c.Close()
				}()
				_, _ = io.Copy(io.Discard, c) // until the server has had enough
				c.Close()
			}
		})
	}
	return sync.OnceValue(func() int { close(done); all.Wait(); return int(opened.Load()) })
}

func idlers(t *scene.Trial) {
	h, d := serving(t)
	stop := idle(t, h, 400)
	t.Cleanup(func() { stop() })
	t.Pause(time.Second)
	failed := 0
	var worst time.Duration
	for range 50 {
		begin := time.Now()
		// The idlers' own network gets no more than its share.
		if _, err := t.KeyExchangeFrom(h, "127.77.0.1", exchangeAddr, "server.test"); err != nil {
			failed++
		}
		worst = max(worst, time.Since(begin))
	}
	n := stop()
	t.Alive(d.Process)
	if failed > 0 {
		t.Fatal("%d of 50 honest exchanges failed", failed)
	}
	t.Saw("50 of 50 honest exchanges beside %d idle connections, %v at worst", n, worst.Round(time.Millisecond))
}

func damagedHandshakes(t *scene.Trial) {
	h, d := serving(t)
	hello := scene.ClientHello()
	random := rand.New(rand.NewPCG(15, 1))
	before, err := lab.CPU(d.Pid())
	t.Check(err)
	stays := 0
	for i := range 1000 {
		c, err := t.Connect(h, exchangeAddr)
		t.Check(err)
		b := slices.Clone(hello)
		switch i % 5 {
		case 0:
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		case 1:
			b = b[:random.IntN(len(b))]
		case 2: // an absurd length
			b[3], b[4] = 0xff, 0xff
		case 3: // a flood of alerts and renewals of nothing
			b = append(b, bytes.Repeat([]byte{21, 3, 3, 0, 2, 1, 0}, 50)...)
		case 4:
			b = scene.Random(300)
		}
		_, _ = c.Write(b) // the server may have closed already
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = io.Copy(io.Discard, c)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			stays++
		}
		c.Close()
	}
	after, err := lab.CPU(d.Pid())
	t.Check(err)
	t.Alive(d.Process)
	t.Session(h, exchangeAddr, "server.test")
	each := (after - before) / 1000
	if stays > 0 || each > 10*time.Millisecond {
		t.Fatal("%d connections stay, %v of processor time each", stays, each)
	}
	t.Saw("1,000 damaged handshakes, all closed, %v of processor time each", each)
}

// flood sends datagrams as fast as it can until the returned function is called.
func flood(t *scene.Trial, h *lab.Host, datagram func(n int) []byte) (stop func() int) {
	s := t.Dial(h, "127.0.0.1:123")
	done := make(chan struct{})
	var all sync.WaitGroup
	sent := 0
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := s.Write(datagram(sent)); err == nil {
				sent++
			}
		}
	})
	return sync.OnceValue(func() int { close(done); all.Wait(); return sent })
}

func floods(t *scene.Trial) {
	h, d := serving(t)
	session := t.Session(h, exchangeAddr, "server.test")
	madeUp := session.Request(scene.Parts{Cookies: [][]byte{scene.Random(len(session.Cookies[0]))}})
	garbage := scene.Random(48)
	stop1 := flood(t, h, func(n int) []byte { garbage[0] = byte(n); return garbage })
	stop2 := flood(t, h, func(int) []byte { return madeUp })
	t.Cleanup(func() { stop1(); stop2() })
	lines := strings.Count(d.Text(), "\n")
	asked, answered := 0, 0
	for begin := time.Now(); time.Since(begin) < 10*time.Second; asked++ {
		if _, err := scene.Ask(h, "127.0.0.1:123"); err == nil {
			answered++
		}
		t.Pause(20 * time.Millisecond)
	}
	n := stop1() + stop2()
	if 2*answered < asked {
		t.Fatal("%d of %d honest requests answered", answered, asked)
	}
	if more := strings.Count(d.Text(), "\n") - lines; more > 20 {
		t.Fatal("%d lines of log", more)
	}
	begin := time.Now()
	t.Eventually(5*time.Second, func() error { _, err := scene.Ask(h, "127.0.0.1:123"); return err })
	t.Alive(d.Process)
	t.Saw("%d datagrams a second, %d of %d honest requests answered, well again %v afterwards", n/10, answered, asked, time.Since(begin).Round(time.Millisecond))
}

func ceiling(t *scene.Trial) {
	h, d := serving(t, "env", "GOMEMLIMIT=48MiB")
	stop := idle(t, h, 300)
	garbage := scene.Random(900)
	stopFlood := flood(t, h, func(n int) []byte { garbage[0] = byte(n); return garbage })
	t.Cleanup(func() { stop(); stopFlood() })
	most := int64(0)
	t.Hold(12*time.Second, func() error {
		m, err := lab.Memory(d.Pid())
		most = max(most, m)
		return err
	})
	n, sent := stop(), stopFlood()
	if most > 64<<20 {
		t.Fatal("%d MiB of memory", most>>20)
	}
	t.Session(h, exchangeAddr, "server.test")
	t.Alive(d.Process)
	t.Saw("%d idle connections and %d datagrams: %d MiB at most", n, sent, most>>20)
}

// troubledPool has one source that is a daemon, and four that fail: before they are asked, when asked what they support,
// and with the client's keys.
func troubledPool(t *scene.Trial) {
	h := t.Host("host")
	names := map[string]netip.Addr{"pool.test": netip.MustParseAddr("127.0.0.4"), "server.test": netip.MustParseAddr("127.0.0.1")}
	leafNames := []string{}
	for i := range 4 {
		name := fmt.Sprintf("s%d.test", i)
		names[name] = netip.AddrFrom4([4]byte{127, 0, 12, byte(i + 1)})
		leafNames = append(leafNames, name)
	}
	t.Check(h.SetNames(names))
	t.Check(t.Authority.WriteLeaf(h.Dir, "many", leafNames...))
	pair, err := tls.LoadX509KeyPair(filepath.Join(h.Dir, "many.chain.pem"), filepath.Join(h.Dir, "many.key"))
	t.Check(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13}
	server := t.Daemon(h, "server", strings.Replace(scene.Server, "[synchronization]", "authorized-pool-server-certificates = [\"/run/lab/pool.pem\"]\n[synchronization]", 1))
	t.Serving(server, "127.0.0.1:123")

	var mu sync.Mutex
	holders := map[string]int{} // fixed keys → how often a source got them
	given := 0
	capable := func(then func(c *tls.Conn)) func(c *tls.Conn) {
		support, err := nts.AppendMessage(nil, nts.Record{Type: nts.TypeSupportedProtocols, Body: []byte{0, 0}},
			nts.Record{Type: nts.TypeSupportedAlgorithms, Body: []byte{0, 15, 0, 32, 0, 17, 0, 64}})
		t.Check(err)
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
				for _, r := range records {
					if r.Type == nts.TypeFixedKey || r.Type == nts.TypeDraftFixedKey {
						mu.Lock()
						holders[string(r.Body)]++
						given++
						mu.Unlock()
						then(c)
						return
					}
				}
				if _, err := c.Write(support); err != nil {
					return
				}
			}
		}
	}
	// s0 listens nowhere.
	t.Hostile(h, "127.0.12.2:4460", config, func(c *tls.Conn) { _ = c.NetConn().Close() })
	t.Hostile(h, "127.0.12.3:4460", config, capable(func(c *tls.Conn) { _ = c.Close() }))
	t.Hostile(h, "127.0.12.4:4460", config, capable(func(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) }))
	var list strings.Builder
	for _, name := range append([]string{"server.test"}, leafNames...) {
		fmt.Fprintf(&list, "    { domain = %q, port = 4460 },\n", name)
	}
	p := t.Pool(h, "[nts-pool-ke-server]\nlisten = \"127.0.0.4:4460\"\ncertificate-authority-path = \"/run/lab/ca.pem\"\ncertificate-chain-path = \"/run/lab/pool.chain.pem\"\n"+
		"private-key-path = \"/run/lab/pool.key\"\nkey-exchange-timeout-ms = 2000\nkey-exchange-servers = [\n"+list.String()+"]\n")
	t.Eventually(20*time.Second, func() error { _, err := t.KeyExchange(h, "127.0.0.4:4460", "pool.test"); return err })
	t.Control("a client of the pool gets keys")
	good := 0
	for range 300 {
		if _, err := t.KeyExchange(h, "127.0.0.4:4460", "pool.test"); err == nil {
			good++
		}
	}
	t.Alive(p)
	mu.Lock()
	defer mu.Unlock()
	for _, n := range holders {
		if n > 1 {
			t.Fatal("one client's keys went to %d sources", n)
		}
	}
	if good < 294 {
		t.Fatal("%d of 300 clients got keys", good)
	}
	t.Saw("%d of 300 clients got keys; %d times keys went to a source that failed, never twice the same", good, given)
}
