package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// The flood: five times what a server can answer, half of it garbage, and honest clients among it.
var floodRows = []scene.Row{
	{ID: "FLOOD", Alone: true, Limit: 4 * time.Minute,
		What: "five times what a tenth of a processor can answer, half of it garbage: what becomes of honest clients?", Prove: flood},
}

// The server that is flooded, and who floods it.
const (
	floodServer = `
[[server]]
listen = "127.0.0.1:123"
rate-limiting-cache-size = 4096
rate-limiting-cutoff-ms = 500
[[nts-ke-server]]
listen = "127.0.0.1:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
[synchronization]
local-stratum = 1
state-path = ""
`
	floodShare    = 0.1
	floodFactor   = 5
	floodLasts    = 20 * time.Second
	floodSources  = 16  // addresses that the flood's own requests come from
	crowdSources  = 1e6 // addresses of the measurement, each of which asks more seldom than the limit
	honestClients = 40  // a quarter of them with NTS
	honestLeast   = 0.9 // the part of their requests that has to be answered
	floodMemory   = 16 << 20
	floodLines    = 20
	floodRecovery = 5 * time.Second
)

func flood(t *scene.Trial) {
	h := t.Host("host")
	d := t.DaemonBehind(h, t.Capped(scene.Cap{CPU: floodShare}), "server", floodServer)
	t.Serving(d, "127.0.0.1:123")
	crowd := newCrowd(t, h)
	before := crowd.ask(3 * time.Second)
	if before.answered < before.asked {
		t.Fatal("without a flood only %v", before)
	}
	t.Control("%d clients, %d of them with NTS, ask once a second and get all their answers", honestClients, honestClients/4)
	t.Pause(time.Second)

	// What the share can answer: requests of ever new addresses, which no limit concerns, faster than it can.
	source := floodSocket(t, h)
	t.Pause(time.Second)
	plain, first := scene.Plain(), accepted(t, d)
	source.pour(40000, 6*time.Second, func(i int) ([4]byte, []byte) {
		i %= crowdSources
		return [4]byte{127, byte(100 + i>>16), byte(i >> 8), byte(i)}, plain
	})
	capacity := float64(accepted(t, d)-first) / 6
	t.Pause(2 * time.Second)

	memory, err := lab.Memory(d.Pid())
	t.Check(err)
	lines := lineCount(d)
	garbage := garbageKinds(t, h)
	var during tally
	var asking sync.WaitGroup
	asking.Go(func() { during = crowd.ask(floodLasts - 2*time.Second) })
	sent := source.pour(floodFactor*capacity, floodLasts, func(i int) ([4]byte, []byte) {
		from := [4]byte{127, 90, 0, byte(1 + i/2%floodSources)}
		if i%2 == 0 {
			return from, plain
		}
		return from, garbage[i/2%len(garbage)]
	})
	over := time.Now()
	asking.Wait()
	most, err := lab.Memory(d.Pid())
	t.Check(err)
	t.Eventually(floodRecovery, func() error { _, err := askIn(h, "127.0.0.200", "127.0.0.1:123"); return err })
	t.Eventually(floodRecovery, func() error { _, err := t.KeyExchange(h, exchangeAddr, "server.test"); return err })
	t.MustState(d)
	recovered := time.Since(over)
	after := crowd.ask(3 * time.Second)
	lines = lineCount(d) - lines

	figures := fmt.Sprintf("a tenth of a processor answers %.0f requests a second; flooded with %.0f a second, half of them garbage: honest %v; memory %+d KiB, %d lines of log; everything again %.1f s after the end, honest %v",
		capacity, sent, during, (most-memory)>>10, lines, recovered.Seconds(), after)
	switch {
	case sent < 0.9*floodFactor*capacity:
		t.Fatal("the flood was too slow to show anything: %s", figures)
	case float64(during.answered) < honestLeast*float64(during.asked) || during.protected < honestLeast*during.protectedAsked:
		t.Fatal("honest clients starve: %s", figures)
	case most-memory > floodMemory || lines > floodLines || recovered > floodRecovery || after.answered < after.asked:
		t.Fatal("the flood leaves traces: %s", figures)
	}
	t.Alive(d.Process)
	t.Saw("%s", figures)
}

func lineCount(d *scene.Daemon) int {
	n := 0
	for _, c := range d.Text() {
		if c == '\n' {
			n++
		}
	}
	return n
}

// accepted is how many requests a server has answered.
func accepted(t *scene.Trial, d *scene.Daemon) uint64 {
	var n uint64
	t.Eventually(5*time.Second, func() error {
		s, err := d.State()
		if err == nil {
			n = s.Servers[0].Stats["accepted_packets"]
		}
		return err
	})
	return n
}

// garbageKinds are datagrams that no client sends: of arbitrary octets, of other modes and versions, with fields that
// break off, and with cookies of nobody.
func garbageKinds(t *scene.Trial, h *lab.Host) [][]byte {
	session := t.Session(h, exchangeAddr, "server.test")
	var all [][]byte
	for i := range 64 {
		bad := session.Request(scene.Parts{})
		bad[100] ^= 1 // in the cookie
		broken := session.Request(scene.Parts{})
		binary.BigEndian.PutUint16(broken[50:], uint16(40000+i))
		all = append(all, scene.Random(40+i*8), scene.Header(4, 4), scene.Header(uint8(i)%8, uint8(i/8)), broken, bad)
	}
	return all
}

// tally is what became of honest requests.
type tally struct {
	asked, answered           int
	protectedAsked, protected float64 // those of them with NTS
	slowest                   time.Duration
}

func (t tally) String() string {
	return fmt.Sprintf("%d of %d answered (with NTS %.0f of %.0f), the slowest after %v",
		t.answered, t.asked, t.protected, t.protectedAsked, t.slowest.Round(time.Millisecond))
}

// honestCrowd are clients with addresses of their own.
type honestCrowd struct {
	t        *scene.Trial
	sockets  []*net.UDPConn
	sessions []*scene.Session
}

func newCrowd(t *scene.Trial, h *lab.Host) *honestCrowd {
	c := &honestCrowd{t: t}
	for i := range honestClients {
		t.Check(h.Inside(func() error {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 50, byte(1+i))}, net.UDPAddrFromAddrPort(scene.At("127.0.0.1:123")))
			if err == nil {
				c.sockets = append(c.sockets, conn)
				t.Cleanup(func() { conn.Close() })
			}
			return err
		}))
		var s *scene.Session
		if i%4 == 0 {
			s = t.Session(h, exchangeAddr, "server.test")
		}
		c.sessions = append(c.sessions, s)
	}
	return c
}

// ask has every client ask once a second, each at a moment of its own.
func (c *honestCrowd) ask(during time.Duration) tally {
	var sum tally
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range c.sockets {
		all.Go(func() {
			time.Sleep(time.Second * time.Duration(i) / honestClients)
			one := c.one(i, int(during/time.Second))
			mu.Lock()
			defer mu.Unlock()
			sum.asked, sum.answered = sum.asked+one.asked, sum.answered+one.answered
			sum.protectedAsked, sum.protected = sum.protectedAsked+one.protectedAsked, sum.protected+one.protected
			sum.slowest = max(sum.slowest, one.slowest)
		})
	}
	all.Wait()
	return sum
}

// one is a client that asks n times; answers count that come before the next request.
func (c *honestCrowd) one(i, n int) (sum tally) {
	conn, session := c.sockets[i], c.sessions[i]
	b := make([]byte, 2048)
	for begin, k := time.Now(), 0; k < n; k++ {
		request := scene.Plain()
		if session != nil {
			request = session.Request(scene.Parts{})
			sum.protectedAsked++
		}
		sum.asked++
		asked := time.Now()
		end := begin.Add(time.Duration(k+1) * time.Second)
		if _, err := conn.Write(request); err == nil && conn.SetReadDeadline(end) == nil {
			if c.hears(conn, b, request, session) {
				sum.answered++
				sum.slowest = max(sum.slowest, time.Since(asked))
				if session != nil {
					sum.protected++
				}
			}
		}
		time.Sleep(time.Until(end))
	}
	return sum
}

// hears waits for the true answer to a request: neither a kiss nor one without authentication.
func (c *honestCrowd) hears(conn *net.UDPConn, b, request []byte, session *scene.Session) bool {
	for {
		n, err := conn.Read(b)
		if err != nil {
			return false
		}
		if n < 48 || b[1] == 0 || string(b[24:32]) != string(request[40:48]) {
			continue
		}
		if session == nil {
			return true
		}
		if a, err := session.Open(b[:n]); err == nil && a.Authentic {
			return true
		}
	}
}
