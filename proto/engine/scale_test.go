package engine

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestClientsThatStartTogether: the power returns, and all of them start within five minutes. At noon their server loses
// its cookie keys. Its key exchange takes a four-hundredth of them a second and refuses the others.
//
// What must not happen is that they stay in step: the polls of any eight seconds are at most three times the average, nobody
// waits for keys for longer than the waits of RFC 8915 section 4.2 make it, and the second wave of key exchanges is as
// wide as a poll interval. There are 100 clients, or NTPD_CLIENTS.
func TestClientsThatStartTogether(t *testing.T) {
	clients, day := 100, 3*time.Hour
	if text := os.Getenv("NTPD_CLIENTS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<16 {
			t.Fatalf("NTPD_CLIENTS is %q", text)
		}
		clients = n
	}
	const (
		tick  = 8 * time.Second
		poll  = 9 // 512 s
		boots = 300 * time.Second
	)
	even := float64(clients) / ((1 << poll) / tick.Seconds())
	slack := 3 * math.Sqrt(3*even) // of chance, which counts among few
	capacity := clients * int(tick/time.Second) / 400
	worlds := make([]*world, clients)
	free, exchanged := 0, 0
	begin := newWorld(t, config()).mono
	cfg := config(src(ModeNTS, "ke.example", 1))
	for i := range cfg.Sources {
		cfg.Sources[i].PollMin, cfg.Sources[i].PollMax, cfg.Sources[i].PollStart = poll, poll, poll
	}
	for i := range worlds {
		w := newWorld(t, cfg)
		random := func(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), n}) }
		w.mono = w.mono.Add(boots * time.Duration(i*7919%clients) / time.Duration(clients))
		w.entropy, w.engine = random(1), New(cfg, State{}, random(2), w.now())
		h := w.host("192.0.2.1")
		w.name("ke.example", "192.0.2.1")
		w.keys = func(a ExchangeKeys) Event {
			if free == 0 {
				return refused(a)
			}
			free--
			exchanged++
			return w.establish(a, h, "192.0.2.1")
		}
		worlds[i] = w
	}
	server := func(w *world) *host { return w.hosts[netip.AddrPortFrom(addr("192.0.2.1"), 123)] }
	var polls, exchanges []int // a tick each
	keyed := 0                 // ticks until all had keys
	noon := int(day / tick / 2)
	for k := range int(day / tick) {
		free, exchanged = capacity, 0
		asked := 0
		for i := range worlds {
			w := worlds[(i+k*997)%clients] // nobody is always the first
			if k == noon {
				server(w).keyset = w.keyset(seed(77))
			}
			if d := begin.Add(time.Duration(k+1) * tick).Sub(w.mono); d > 0 {
				w.run(d)
			}
			asked += len(server(w).asked)
			server(w).asked, server(w).sizes, w.actions = nil, nil, w.actions[:0]
			w.trace.Reset()
		}
		polls, exchanges = append(polls, asked), append(exchanges, exchanged)
		if sum(exchanges) < clients {
			keyed = k + 1
		}
	}
	if got := sum(exchanges[:noon]); got != clients {
		t.Errorf("%d clients exchanged keys %d times before noon", clients, got)
	}
	// A client that is refused waits 10 s, then half as much again.
	if took := time.Duration(keyed) * tick; took > boots+20*time.Minute {
		t.Errorf("after %v some had no keys", took)
	}
	settled := polls[int(time.Hour/tick):]
	if most := float64(peak(settled)); most > 3*even+slack || float64(sum(settled)) < 0.9*even*float64(len(settled)) {
		t.Errorf("%v polls in %v, where %.0f are even", most, tick, even)
	}
	again := exchanges[noon:]
	if most := float64(peak(again)); most > 3*even+slack || sum(again) != clients {
		t.Errorf("after noon %d exchanges, at most %v in %v, where %.0f are even", sum(again), most, tick, even)
	}
	t.Logf("%d clients for %v: keys for all after %v; in %v at most %d polls, and after noon at most %d exchanges, where %.0f are even",
		clients, day, time.Duration(keyed)*tick, tick, peak(settled), peak(again), even)
}

func sum(n []int) (s int) {
	for _, x := range n {
		s += x
	}
	return s
}

func peak(n []int) (most int) {
	for _, x := range n {
		most = max(most, x)
	}
	return most
}
