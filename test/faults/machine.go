package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Faults of the machine.
var machineRows = []scene.Row{
	{ID: "X11", What: "a state directory that is full, and one that is read-only", Prove: badDisks},
	{ID: "X12", What: "descriptors that run out during the run and come back", Prove: descriptors},
	{ID: "X13", What: "SIGKILL 60 times at any moment, with keys and durable state", Prove: killed},
	{ID: "X19", What: "a second daemon with the same addresses and sockets", Prove: twoDaemons},
}

func badDisks(t *scene.Trial) {
	for _, c := range []struct{ name, prepare string }{
		{"full", `dd if=/dev/zero of=/run/small/filler bs=1k 2>/dev/null;`},
		{"read-only", `mount -o remount,ro /run/small;`},
	} {
		h := t.Host(c.name)
		text := scene.Server + "[keyset]\nkey-storage-path = \"/run/small/keys\"\nkey-rotation-interval = 2\n"
		good := t.Daemon(h, "server", strings.Replace(text, "/run/small", "/run/lab", 1))
		t.Serving(good, "127.0.0.1:123")
		cookies := t.Session(h, "127.0.0.1:4460", "server.test")
		t.Control("%s: keys are stored and exchanged", c.name)
		good.Stop()
		kept, err := os.ReadFile(filepath.Join(h.Dir, "keys"))
		t.Check(err)
		script := `mkdir -p /run/small && mount -t tmpfs -o size=64k,mode=755 tmpfs /run/small && cp /run/lab/keys /run/small/keys && chmod 600 /run/small/keys; ` + c.prepare + ` exec "$@"`
		d := t.DaemonBehind(h, []string{"sh", "-c", script, "sh"}, "server", text)
		t.Serving(d, "127.0.0.1:123")
		// Cookies from before still open, new ones are given, renewals go on in memory.
		s := t.Dial(h, "127.0.0.1:123")
		replies, err := s.Volley([][]byte{cookies.Request(scene.Parts{})})
		t.Check(err)
		if a, err := cookies.Open(replies[0].Payload); err != nil || !a.Authentic {
			t.Fatal("%s: a cookie from before does not open: %+v %v", c.name, a, err)
		}
		t.Pause(5 * time.Second)
		t.Session(h, "127.0.0.1:4460", "server.test")
		now, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/small/keys", d.Pid()))
		t.Check(err)
		if _, _, err := cookie.Parse(now); err != nil || !bytes.Equal(kept[20:84], now[20:84]) {
			t.Fatal("%s: the stored keys are damaged: %v", c.name, err)
		}
		if !strings.Contains(d.Text(), "could not store the nts server keys") {
			t.Fatal("%s: nothing is said", c.name)
		}
		t.Alive(d.Process)
		d.Stop()
	}
	t.Saw("the daemon serves on, old keys stay whole, and it is said")
}

func descriptors(t *scene.Trial) {
	h := t.Host("host")
	t.Upstream(h, "127.0.0.2:123")
	text := strings.Replace(scene.Server, "local-stratum = 1", "minimum-agreeing-sources = 1", 1) +
		"[source-defaults]\npoll-interval-limits = { min = 0, max = 0 }\n[[source]]\nmode = \"server\"\naddress = \"127.0.0.2\"\n"
	d := t.Daemon(h, "server", text)
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Session(h, "127.0.0.1:4460", "server.test")
	t.Control("the daemon measures, serves and exchanges keys")
	open, err := lab.Descriptors(d.Pid())
	t.Check(err)
	var before unix.Rlimit
	t.Check(unix.Prlimit(d.Pid(), unix.RLIMIT_NOFILE, nil, &before))
	t.Check(unix.Prlimit(d.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(open - 2), Max: before.Max}, nil))
	t.Pause(5 * time.Second)
	s := t.Dial(h, "127.0.0.1:123")
	replies, err := s.Volley([][]byte{scene.Plain(), scene.Plain()})
	if err != nil || len(replies) != 2 {
		t.Fatal("NTP suffers: %d answers (%v)", len(replies), err)
	}
	spent, err := lab.CPU(d.Pid())
	t.Check(err)
	t.Pause(3 * time.Second)
	later, err := lab.CPU(d.Pid())
	t.Check(err)
	if later-spent > time.Second {
		t.Fatal("%v of processor time in three seconds without descriptors", later-spent)
	}
	t.Check(unix.Prlimit(d.Pid(), unix.RLIMIT_NOFILE, &before, nil))
	begin := time.Now()
	t.Eventually(10*time.Second, func() error { _, err := t.KeyExchange(h, "127.0.0.1:4460", "server.test"); return err })
	now := t.MustState(d)
	t.Samples(d, 0, now.Own.Sources[0].Taken(), 2, 20*time.Second)
	lines := strings.Count(d.Text(), "\n")
	if lines > 60 {
		t.Fatal("%d lines of log", lines)
	}
	t.Saw("eight seconds without descriptors: NTP is served, nothing spins, %d lines of log, all is well %.1f s afterwards", lines, time.Since(begin).Seconds())
}

func killed(t *scene.Trial) {
	h := t.Host("host")
	u := t.Upstream(h, "127.0.0.2:123")
	t.Keys(h, u, "127.0.0.2:4460", "second", scene.At("127.0.0.2:123"))
	text := strings.Replace(scene.Server, "local-stratum = 1\nstate-path = \"\"", "minimum-agreeing-sources = 1\nstate-path = \"/run/lab/clock.json\"", 1) +
		"[keyset]\nkey-storage-path = \"/run/lab/keys\"\nkey-rotation-interval = 1\n" + scene.NTS("second.test")
	random := rand.New(rand.NewPCG(13, 1))
	d := t.Daemon(h, "server", text)
	t.Answering(d)
	t.Control("the daemon starts")
	for i := range 60 {
		t.Pause(time.Duration(random.IntN(300)) * time.Millisecond)
		t.Check(d.Signal(syscall.SIGKILL))
		t.Eventually(10*time.Second, func() error {
			if ended, _ := d.Exited(); !ended {
				return fmt.Errorf("it does not end")
			}
			return nil
		})
		if b, err := os.ReadFile(filepath.Join(h.Dir, "keys")); err == nil {
			if _, _, err := cookie.Parse(b); err != nil {
				t.Fatal("kill %d: %v", i, err)
			}
		}
		if b, err := os.ReadFile(filepath.Join(h.Dir, "clock.json")); err == nil && !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
			t.Fatal("kill %d: half a state: %q", i, b)
		}
		d = t.Daemon(h, "server", text)
		t.Answering(d)
	}
	t.Samples(d, 0, 0, 2, 30*time.Second)
	if text := d.Text(); strings.Contains(text, "does not hold") || strings.Contains(text, "not a file of cookie keys") {
		t.Fatal("a start found damage: %s", d.Tail(3))
	}
	t.Saw("60 kills, each start found whole files, and the last one measures")
}

func twoDaemons(t *scene.Trial) {
	h := t.Host("host")
	one := t.Daemon(h, "one", scene.Server)
	t.Serving(one, "127.0.0.1:123")
	t.Control("the first daemon serves")
	cases := map[string]string{
		"the same addresses":    scene.Server,
		"the same key exchange": strings.Replace(scene.Server, "127.0.0.1:123", "127.0.0.2:123", 1),
	}
	for name, text := range cases {
		two := t.Daemon(h, "two", text)
		t.Eventually(10*time.Second, func() error {
			if ended, _ := two.Exited(); !ended {
				return fmt.Errorf("%s: the second daemon runs", name)
			}
			return nil
		})
		if _, err := two.Exited(); err == nil || !strings.Contains(two.Text(), "in use") {
			t.Fatal("%s: it ended with %v: %s", name, err, two.Tail(2))
		}
	}
	// The same observation socket: it is not taken over.
	text := "[observability]\nobservation-path = \"" + lab.RunDir + "/one.observe\"\n" + strings.ReplaceAll(scene.Server, "127.0.0.1", "127.0.0.3")
	two := t.Daemon(h, "two", text)
	t.Serving(two, "127.0.0.3:123")
	if !strings.Contains(two.Text(), "another daemon answers there") {
		t.Fatal("a taken observation socket is not said: %s", two.Tail(3))
	}
	two.Stop()
	if _, err := one.State(); err != nil {
		t.Fatal("the first daemon's socket is gone: %v", err)
	}
	t.Serving(one, "127.0.0.1:123")
	t.Saw("a second daemon ends with the reason, or leaves the socket alone; the first one is not touched")
}
