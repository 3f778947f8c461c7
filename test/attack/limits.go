package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on what the machine has to share: the rate limit, memory, descriptors and time.
var limitRows = []scene.Row{
	{ID: "T38", P0: true, What: "one client from 60,000 ports and addresses of one /64, and a victim whose address is spoofed", Prove: limiter},
	{ID: "T39", P0: true, What: "300,000 spoofed sources at a limited server", Prove: limiterMemory},
	{ID: "T84", What: "a server and client with 32 descriptors", Prove: fewDescriptors},
	{ID: "T88", Limit: 3 * time.Minute, What: "64 MiB of memory, 2,000 connections to the key exchange and garbage as fast as one sender can", Prove: memoryCeiling},
	{ID: "T87", What: "garbage as fast as one sender can for ten seconds", Prove: garbageFlood},
}

func limiter(t *scene.Trial) {
	h := t.Host("host")
	var batch strings.Builder
	for i := range 400 {
		fmt.Fprintf(&batch, "addr add fd00:7::%x/128 dev lo nodad\n", i+1)
	}
	t.Check(h.IP("-batch", t.Write(h, "addresses", batch.String())))
	text := "[[server]]\nlisten = \"[::]:123\"\nrate-limiting-cache-size = 1024\nrate-limiting-cutoff-ms = 60000\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n"
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	t.Control("the limited server answers the first request")
	raw, wire := t.Raw(h), t.Sniff(h, "lo")
	answered := func(to string) (n int) {
		for _, p := range wire.Seen() {
			if p.From.Port() == 123 && p.To.Addr().String() == to && len(p.Payload) >= 48 {
				n++
			}
		}
		return n
	}
	// 4,000 ports of one address are one client.
	for port := range 4000 {
		raw.Send(t, scene.At(fmt.Sprintf("127.0.30.1:%d", 1024+port)), scene.At("127.0.0.1:123"), scene.Plain())
		if port%500 == 0 {
			t.Pause(10 * time.Millisecond)
		}
	}
	t.Eventually(5*time.Second, func() error { return atLeast(int(receivedBy(t, d)), 3900) })
	t.Pause(200 * time.Millisecond)
	ports := answered("127.0.30.1")
	if ports == 0 || ports > 4000*45/100 { // a quarter leaks, an eighth are kisses
		t.Fatal("%d of 4000 requests from different ports were answered", ports)
	}
	// A victim whose address is spoofed still gets its part.
	victim := 0
	for range 100 {
		for range 20 {
			raw.Send(t, scene.At("127.0.0.9:4567"), scene.At("127.0.0.1:123"), scene.Plain())
		}
		var a lab.Answer
		err := h.Inside(func() error {
			var err error
			a, err = askFrom("127.0.0.9", "127.0.0.1:123", 30*time.Millisecond)
			return err
		})
		if err == nil && a.Stratum > 0 {
			victim++
		}
	}
	if victim < 10 {
		t.Fatal("a victim of spoofing got %d of 100 answers", victim)
	}
	// Addresses of one /64 are one client.
	network := 0
	for i := range 400 {
		a := fmt.Sprintf("fd00:7::%x", i+1)
		err := h.Inside(func() error {
			_, err := askFrom(a, "[::1]:123", 15*time.Millisecond)
			return err
		})
		if err == nil {
			network++
		}
	}
	if network == 0 || network > 200 {
		t.Fatal("%d of 400 addresses of one /64 were answered", network)
	}
	t.Alive(d.Process)
	t.Saw("%d of 4000 ports, %d of 400 addresses of one /64, %d of 100 requests of a victim answered", ports, network, victim)
}

// askFrom asks from an address of this host, once.
func askFrom(from, server string, patience time.Duration) (lab.Answer, error) {
	local := &net.UDPAddr{IP: net.ParseIP(from)}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(scene.At(server)))
	if err != nil {
		return lab.Answer{}, err
	}
	defer conn.Close()
	request := scene.Plain()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return lab.Answer{}, err
	}
	if _, err := conn.Write(request); err != nil {
		return lab.Answer{}, err
	}
	b := make([]byte, 512)
	n, err := conn.Read(b)
	if err != nil {
		return lab.Answer{}, err
	}
	if n < 48 || !bytes.Equal(b[24:32], request[40:48]) {
		return lab.Answer{}, fmt.Errorf("an answer to something else")
	}
	return lab.Answer{Stratum: b[1]}, nil
}

func limiterMemory(t *scene.Trial) {
	h := t.Host("host")
	text := "[[server]]\nlisten = \"127.0.0.1:123\"\nrate-limiting-cache-size = 4096\nrate-limiting-cutoff-ms = 1000\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n"
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	t.Control("the limited server answers")
	raw := t.Raw(h)
	spray := func(n int) {
		for range n {
			r := scene.Random(3)
			from := scene.At(fmt.Sprintf("127.%d.%d.%d:123", 1+r[0]%250, r[1], r[2]))
			raw.Send(t, from, scene.At("127.0.0.1:123"), scene.Plain())
		}
	}
	spray(20000)
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	spray(280000)
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	arrived := receivedBy(t, d)
	if arrived < 100000 {
		t.Fatal("only %d requests reached the server: the row shows nothing", arrived)
	}
	if grown := after - before; grown > 4<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Eventually(5*time.Second, func() error { // once the queue has been worked off
		_, err := askIn(h, "127.0.0.200", "127.0.0.1:123")
		return err
	})
	t.Saw("300,000 sources, of which %d requests reached the server: memory %+d KiB", arrived, (after-before)>>10)
}

// receivedBy is how many datagrams the first server of a daemon has received.
func receivedBy(t *scene.Trial, d *scene.Daemon) uint64 {
	return t.MustState(d).Servers[0].Stats["received_packets"]
}

func askIn(h *lab.Host, from, server string) (a lab.Answer, err error) {
	err = h.Inside(func() error { a, err = askFrom(from, server, time.Second); return err })
	return a, err
}

func fewDescriptors(t *scene.Trial) {
	h := t.Host("host")
	t.Upstream(h, "127.0.0.2:123")
	text := strings.Replace(scene.Server, "local-stratum = 1", "minimum-agreeing-sources = 1", 1) +
		"[source-defaults]\npoll-interval-limits = { min = 0, max = 0 }\n[[source]]\nmode = \"server\"\naddress = \"127.0.0.2\"\n"
	d := t.DaemonBehind(h, []string{"prlimit", "--nofile=32:32"}, "server", text)
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Serving(d, "127.0.0.1:123")
	honest(t, h)
	t.Control("with 32 descriptors the daemon measures, serves and exchanges keys")
	var open []net.Conn
	for range 200 {
		c, err := t.Connect(h, exchangeAddr)
		if err != nil {
			break
		}
		open = append(open, c)
	}
	if len(open) < 100 {
		t.Fatal("only %d connections: the row shows nothing", len(open))
	}
	s := t.Dial(h, "127.0.0.1:123")
	for range 50 {
		replies, err := s.Volley([][]byte{scene.Plain()})
		if err != nil || len(replies) != 1 {
			t.Fatal("NTP suffers: %v", err)
		}
		t.Pause(20 * time.Millisecond)
	}
	for _, c := range open {
		c.Close()
	}
	// Measurements go on, and keys are exchanged, once there are descriptors again.
	now, err := d.State()
	for range 50 {
		if err == nil {
			break
		}
		t.Pause(100 * time.Millisecond)
		now, err = d.State()
	}
	t.Check(err)
	t.Samples(d, 0, now.Own.Sources[0].Taken(), 3, 20*time.Second)
	t.Eventually(5*time.Second, func() error { _, err := t.KeyExchange(h, exchangeAddr, "server.test"); return err })
	lines := strings.Count(d.Text(), "\n")
	if lines > 60 {
		t.Fatal("%d lines of log", lines)
	}
	t.Alive(d.Process)
	t.Saw("%d connections with 32 descriptors: no NTP request lost, everything again afterwards, %d lines of log", len(open), lines)
}

func garbageFlood(t *scene.Trial) {
	h, d, _ := served(t, scene.Server)
	honest(t, h) // the process of the key exchange counts, and is there
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	known := receivedBy(t, d)
	stop := pourGarbage(t.Dial(h, "127.0.0.1:123"))
	asked, answered := 0, 0
	var worst time.Duration
	for begin := time.Now(); time.Since(begin) < 10*time.Second; asked++ {
		sent := time.Now()
		if _, err := askIn(h, "127.0.0.50", "127.0.0.1:123"); err == nil {
			answered++
			worst = max(worst, time.Since(sent))
		}
		t.Pause(20 * time.Millisecond)
	}
	sent := stop()
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	// While the kernel drops, a filter lets one of 32 through at worst.
	arrived := int(receivedBy(t, d)-known) - asked
	if arrived < 1000 {
		t.Fatal("only %d of %d datagrams reached the server: the row shows nothing", arrived, sent)
	}
	if worst > 800*time.Millisecond {
		t.Fatal("an honest client waits %v", worst)
	}
	if 2*answered < asked {
		t.Fatal("%d of %d honest requests answered", answered, asked)
	}
	if grown := after - before; grown > 16<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Alive(d.Process)
	t.Saw("%d datagrams a second of garbage, %d in all reached the server; %d of %d honest requests answered, within %v, memory %+d KiB",
		sent/10, arrived, answered, asked, worst.Round(time.Millisecond), (after-before)>>10)
}

// pourGarbage sends datagrams of all lengths as fast as they go, until stop,
// which says how many.
func pourGarbage(hose net.Conn) (stop func() int) {
	ended, done := make(chan struct{}), make(chan int)
	go func() {
		sent, b := 0, scene.Random(900)
		for {
			select {
			case <-ended:
				done <- sent
				return
			default:
			}
			b[0] = byte(sent)
			if _, err := hose.Write(b[:40+sent%800]); err == nil {
				sent++
			}
		}
	}()
	return func() int { close(ended); return <-done }
}

// memoryCeiling has the kernel kill what uses more than it may.
func memoryCeiling(t *scene.Trial) {
	const ceiling = 64 << 20
	hog := t.Host("hog")
	const hogging = "exec dd if=/dev/zero of=/dev/null bs=200M count=1"
	if _, err := hog.Output(lab.Program{Args: []string{"sh", "-c", hogging}}); err != nil {
		t.Fatal("a program cannot hold 200 MB even without a limit: %v", err)
	}
	if _, err := hog.Output(lab.Program{Args: append(t.Capped(scene.Cap{Memory: ceiling}), "sh", "-c", hogging)}); err == nil {
		t.Fatal("a program holds 200 MB in spite of the limit")
	}
	h, d := exchanging(t, t.Capped(scene.Cap{Memory: ceiling, Name: "server"})...)
	t.Control("a program that holds more is killed")
	var most int64
	look := func() {
		t.Alive(d.Process)
		now, err := lab.Memory(d.Pid())
		t.Check(err)
		most = max(most, now)
	}
	stop := pourGarbage(t.Dial(h, "127.0.0.1:123"))
	hello := scene.ClientHello()
	for round := range 4 {
		closeAll, _ := t.Crowd(h, exchangeAddr, 500)
		for range 100 {
			if c, err := t.Connect(h, exchangeAddr); err == nil {
				_, _ = c.Write(hello[:len(hello)-round*20])
				t.Cleanup(func() { c.Close() })
			}
		}
		for range 20 {
			look()
			t.Pause(50 * time.Millisecond)
		}
		closeAll()
	}
	sent := stop()
	t.Eventually(10*time.Second, func() error { _, err := askIn(h, "127.0.0.50", "127.0.0.1:123"); return err })
	t.Eventually(10*time.Second, func() error { _, err := t.KeyExchange(h, exchangeAddr, "server.test"); return err })
	look()
	t.Saw("2,400 connections and %d datagrams: %d MiB at most, never killed, and all is well afterwards", sent, most>>20)
}
