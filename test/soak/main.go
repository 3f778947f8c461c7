// Command soak runs the real daemons for an hour while faults come and go at random, and measures what must not grow: a
// server with NTS that renews its cookie keys, and a client that reaches it by way of a relay that loses, delays, mangles
// and blocks; the server is stopped and started, killed, flooded, and its key exchange crowded.
//
//	go run ./test/soak -duration 1h -seed 1
//
// The client serves NTP and keys as well, so that one daemon lives through everything. Four times a second its clock is
// compared with the server's. The soak prints a line a minute, ends with `N passed, N failed, N skipped`, and exits with 1
// unless the memory, descriptors, threads and goroutines of the client stayed flat, its clock within the error bound that it
// published at that moment (but for one look in a thousand), and all was well at the end.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/relay"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func main() {
	lab.Hook()
	bin := flag.String("bin", "bin", "directory with the commands")
	duration := flag.Duration("duration", time.Hour, "how long faults come and go")
	seed := flag.Uint64("seed", 1, "of the faults")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, *bin, *duration, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(70)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, duration time.Duration, seed uint64) (int, error) {
	s, err := scene.Open(bin, "soak")
	if err != nil {
		return 0, err
	}
	row := scene.Row{ID: "SOAK", What: fmt.Sprintf("%v of faults, seed %d", duration, seed), Limit: duration + 10*time.Minute,
		Prove: func(t *scene.Trial) { soak(t, duration, seed) }}
	results := s.Run(ctx, []scene.Row{row}, 1)
	line, failed := scene.Summary(results)
	if failed > 0 {
		fmt.Println("logs and files are in", s.Dir)
	} else if err := s.Close(); err != nil {
		return failed, err
	}
	fmt.Println(line)
	return failed, nil
}

// What the client may have grown by once it is warm.
const (
	mostMemory      = 12 << 20
	mostDescriptors = 6
	mostThreads     = 6
	moreGoroutines  = 12 // than a client has that has just begun: an exchange under way, a connection that is closing
)

func measure(t *scene.Trial, d *scene.Daemon) lab.Usage {
	t.Alive(d.Process)
	u, err := lab.UsageOf(d.Pid())
	t.Check(err)
	return u
}

// world is a server, the way to it, and its client.
type world struct {
	t      *scene.Trial
	host   *lab.Host
	server *scene.Daemon
	client *scene.Daemon
	relay  *relay.Relay
	random *rand.Rand
	events map[string]int
	watch  *watch
}

// The client is a server too: what strangers do to servers is done to it by turns.
const (
	clientNTP  = "127.0.0.5:123"
	clientKeys = "127.0.0.5:4460"
	clientText = `
[[server]]
listen = "127.0.0.5:123"
[[nts-ke-server]]
listen = "127.0.0.5:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
`
)

const serverText = "[keyset]\nkey-storage-path = \"/run/lab/keys\"\nkey-rotation-interval = 60\n"

func soak(t *scene.Trial, duration time.Duration, seed uint64) {
	w := &world{t: t, host: t.Host("host"), random: rand.New(rand.NewPCG(seed, 89)), events: map[string]int{}}
	w.start()
	var err error
	w.relay, err = relay.Start(relay.Config{Listen: "127.0.0.2:123", Target: scene.At("127.0.0.1:123"), Seed: seed, Inside: w.host.Inside})
	t.Check(err)
	t.Cleanup(func() { w.relay.Close() })
	w.client = t.Daemon(w.host, "client", scene.Client+scene.NTS("server.test")+clientText, "--record", lab.RunDir+"/client.rec")
	w.well()
	t.Control("the client follows the server by way of the relay")
	young := t.Daemon(w.host, "young", scene.Client+scene.NTS("server.test")+strings.ReplaceAll(clientText, "127.0.0.5", "127.0.0.6"))
	t.Synchronised(young, 30*time.Second)
	fewest, err := goroutines(young)
	t.Check(err)
	log, err := os.Create(filepath.Join(w.host.Dir, "beyond.log"))
	t.Check(err)
	t.Cleanup(func() { log.Close() })
	w.watch = watchClock(w.host, log)
	t.Cleanup(w.watch.end)
	t.Pause(min(duration/10, time.Minute))
	warm := measure(t, w.client)
	worst, last := warm, time.Now()
	for begin := time.Now(); time.Since(begin) < duration; {
		w.fault()
		w.well()
		now := measure(t, w.client)
		worst.Memory, worst.Descriptors, worst.Threads = max(worst.Memory, now.Memory), max(worst.Descriptors, now.Descriptors), max(worst.Threads, now.Threads)
		if time.Since(last) > time.Minute {
			last = time.Now()
			fmt.Printf("%8s  client %d KiB, %d descriptors, %d threads; %v; %v\n", time.Since(begin).Round(time.Second), now.Memory>>10, now.Descriptors, now.Threads, w.watch, w.events)
		}
	}
	fmt.Println(w.watch)
	end := measure(t, w.client)
	if end.Memory-warm.Memory > mostMemory || end.Descriptors-warm.Descriptors > mostDescriptors || end.Threads-warm.Threads > mostThreads {
		t.Fatal("the client grew from %+v to %+v", warm, end)
	}
	lines := strings.Count(w.client.Text(), "\n")
	if most := 60 + 30*int(duration/time.Minute); lines > most {
		t.Fatal("the client wrote %d lines of log", lines)
	}
	most, err := goroutines(w.client)
	t.Check(err)
	if most > fewest+moreGoroutines {
		t.Fatal("the client has %d goroutines at the end; a young one has %d", most, fewest)
	}
	t.Saw("%v", w.watch)
	t.Saw("%d goroutines, as a young client has %d", most, fewest)
	t.Saw("%v; memory %d → %d KiB (at most %d), descriptors %d → %d, threads %d → %d, %d lines of log", w.events,
		warm.Memory>>10, end.Memory>>10, worst.Memory>>10, warm.Descriptors, end.Descriptors, warm.Threads, end.Threads, lines)
	t.Check(w.watch.judge(duration))
}

func (w *world) start() {
	text := strings.Replace(scene.Server, "[synchronization]", "ntp-server = \"127.0.0.2\"\n[synchronization]", 1) + serverText
	w.server = w.t.Daemon(w.host, "server", text)
	w.t.Serving(w.server, "127.0.0.1:123")
}

// delay is the most that a fault delays one direction: the clock may be off by half of it.
const delay = 40 * time.Millisecond

// fault lets something go wrong for some seconds, and then puts it right.
func (w *world) fault() {
	t, seconds := w.t, time.Duration(1+w.random.IntN(15))*time.Second
	faults := []struct {
		name string
		run  func()
	}{
		{"loss", func() {
			w.between(relay.Fault{Loss: w.random.Float64()}, relay.Fault{Loss: w.random.Float64()}, seconds)
		}},
		{"delay", func() { w.between(relay.Fault{}, relay.Fault{Delay: delay, Jitter: delay / 4}, seconds) }},
		{"mangling", func() {
			w.between(relay.Fault{Duplicate: 0.3}, relay.Fault{Duplicate: 0.3, Corrupt: 0.3, Reorder: 0.3, HoldBack: 2 * time.Second}, seconds)
		}},
		{"blackout", func() { w.between(relay.Fault{Loss: 1}, relay.Fault{Loss: 1}, seconds) }},
		{"restart", func() { w.server.Stop(); t.Pause(seconds / 4); w.start() }},
		{"kill", func() { t.Check(w.server.Signal(syscall.SIGKILL)); t.Pause(seconds / 4); w.start() }},
		{"standstill", func() {
			t.Check(w.client.Signal(syscall.SIGSTOP))
			t.Pause(seconds)
			t.Check(w.client.Signal(syscall.SIGCONT))
		}},
		{"flood", func() {
			s, garbage := t.Dial(w.host, w.either("127.0.0.1:123", clientNTP)), scene.Random(200)
			for end := time.Now().Add(seconds); time.Now().Before(end); {
				garbage[0]++
				_, _ = s.Write(garbage) // the server may refuse it
			}
			s.Close()
		}},
		{"crowd", func() {
			to := w.either("127.0.0.1:4460", clientKeys)
			for range 300 {
				if c, err := t.Connect(w.host, to); err == nil {
					_, _ = c.Write(scene.Random(w.random.IntN(600)))
					defer c.Close()
				}
			}
		}},
	}
	f := faults[w.random.IntN(len(faults))]
	w.events[f.name]++
	f.run()
	t.Check(w.client.Unmoved(delay.Seconds()))
}

// either is one of two addresses.
func (w *world) either(a, b string) string {
	if w.random.IntN(2) == 0 {
		return a
	}
	return b
}

// between has the relay do something for a time.
func (w *world) between(up, down relay.Fault, d time.Duration) {
	w.t.Check(w.relay.Set(up, down))
	w.t.Pause(d)
	w.t.Check(w.relay.Set(relay.Fault{}, relay.Fault{}))
}

// well waits until the client's last polls were answered and it follows the server.
func (w *world) well() {
	w.t.Eventually(3*time.Minute, func() error {
		s, state, err := w.client.Source(0)
		if err == nil && (!state.Own.Synchronised || s.Reach&3 != 3) {
			err = fmt.Errorf("not well: reach %b, %s %s", s.Reach, s.Condition, s.Text)
		}
		return err
	})
}
