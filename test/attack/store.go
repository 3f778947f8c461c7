package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on what is kept.
var storeRows = []scene.Row{
	{ID: "T24", P0: true, Limit: 4 * time.Minute, What: "SIGKILL 1,000 times to who stores cookie keys again and again, 60 times to a daemon that starts", Prove: killedWhileStoring},
	{ID: "T25", P0: true, What: "a full and a read-only file system under the cookie keys", Prove: fullDisk},
	{ID: "T26", P0: true, What: "cookie keys that are renewed every second, and a restart amid it", Prove: rotation},
}

const storing = "[keyset]\nkey-storage-path = \"/run/lab/keys\"\nkey-rotation-interval = 1\nstale-key-count = 3\n"

func killedWhileStoring(t *scene.Trial) {
	h := t.Host("host")
	file := filepath.Join(h.Dir, "keys")
	text := "[[server]]\nlisten = \"127.0.0.1:123\"\n" + storing + "[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n"
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	first, err := os.ReadFile(file)
	t.Check(err)
	_, _, err = cookie.Parse(first)
	t.Check(err)
	t.Control("keys are stored")
	d.Stop()
	random := rand.New(rand.NewPCG(24, 1))
	changed := 0
	before := first
	for i := range 60 {
		// Keys that claim to be old are renewed at once, so that every start stores.
		copy(before[:8], make([]byte, 8))
		t.Check(os.WriteFile(file, before, 0o600))
		d := t.Daemon(h, "killed", text)
		t.Pause(10*time.Millisecond + time.Duration(random.IntN(40000))*time.Microsecond)
		_ = d.Signal(syscall.SIGKILL) // it may not even have begun
		t.Eventually(10*time.Second, func() error {
			if ended, _ := d.Exited(); !ended {
				return fmt.Errorf("it does not end")
			}
			return nil
		})
		after, err := os.ReadFile(file)
		t.Check(err)
		set, _, err := cookie.Parse(after)
		if err != nil {
			t.Fatal("after kill %d: %v", i, err)
		}
		if set.Len() < 1 {
			t.Fatal("after kill %d: no keys", i)
		}
		if !bytes.Equal(before, after) {
			changed++
		}
		before = after
	}
	if changed == 0 || changed == 60 {
		t.Fatal("%d of 60 kills came after the store: the row hits nothing", changed)
	}
	left, err := filepath.Glob(filepath.Join(h.Dir, ".*keys*"))
	t.Check(err)
	d = t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	t.Saw("60 kills of the daemon, %d after and %d before the store, always the old set or the new one, whole; %d temporary files left", changed, 60-changed, len(left))
	d.Stop()
	again, err := filepath.Glob(filepath.Join(h.Dir, ".*keys*"))
	t.Check(err)
	if len(again) > 0 {
		t.Fatal("%d temporary files stay after a start", len(again))
	}
	killedAmidStores(t, filepath.Join(h.Dir, "again"))
}

// The first argument of this program when it plays who stores keys for ever, as the daemon does or as nobody should.
const (
	storeForEver   = "store-for-ever"
	storeCareless  = "store-carelessly-for-ever"
	storedKeyCount = 8
)

// store is that program: it writes one of two key sets after the other into a file until it is killed.
func store(how, file string) error {
	var texts [2][]byte
	for i := range texts {
		set, err := cookie.NewKeyset(cryptorand.Reader)
		for range storedKeyCount - 1 {
			if err == nil {
				set, err = set.Rotate(cryptorand.Reader, storedKeyCount)
			}
		}
		if err != nil {
			return err
		}
		texts[i] = set.Marshal(int64(i))
	}
	for i := 0; ; i++ {
		var err error
		if how == storeCareless {
			err = os.WriteFile(file, texts[i%2], 0o600)
		} else {
			err = state.WriteFile(file, texts[i%2], 0o600)
		}
		if err != nil {
			return err
		}
		if i == 1 {
			fmt.Println("ready")
		}
	}
}

// torn starts that program, kills it after a moment and says whether the file is whole.
func torn(t *scene.Trial, how, file string, after time.Duration) error {
	program, err := os.Executable()
	t.Check(err)
	cmd := exec.CommandContext(t.Context, program, how, file)
	out, err := cmd.StdoutPipe()
	t.Check(err)
	t.Check(cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("ready\n")))
	t.Check(err)
	time.Sleep(after)
	t.Check(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	b, err := os.ReadFile(file)
	t.Check(err)
	set, _, err := cookie.Parse(b)
	if err == nil && set.Len() != storedKeyCount {
		err = fmt.Errorf("%d keys", set.Len())
	}
	return err
}

// killedAmidStores kills at moments at random.
func killedAmidStores(t *scene.Trial, file string) {
	random := rand.New(rand.NewPCG(24, 2))
	moment := func() time.Duration { return time.Duration(random.IntN(2000)) * time.Microsecond }
	n := 1
	for ; torn(t, storeCareless, file, moment()) == nil; n++ {
		if n == 200 {
			t.Fatal("%d kills of a program that writes over its file leave it whole: the row shows nothing", n)
		}
	}
	t.Control("who writes over its file leaves a broken one, after %d kills", n)
	const kills = 1000
	for i := range kills {
		if err := torn(t, storeForEver, file, moment()); err != nil {
			t.Fatal("after kill %d amid the stores: %v", i, err)
		}
	}
	t.Saw("%d kills amid stores without end, always a whole set", kills)
	t.RunTests("daemon/state", "TestAFailureLosesNothing", "TestSIGKILLLosesNothing")
}

// diskServer stores its keys on a file system of its own, which the wrapper mounts in the daemon's private view.
func diskServer(t *scene.Trial, mount string) *scene.Daemon {
	h := t.Host("host-" + strings.Fields(mount)[0])
	text := strings.Replace(storing, "/run/lab/keys", "/run/small/keys", 1)
	script := `mkdir -p /run/small && mount -t tmpfs -o size=64k,mode=755 tmpfs /run/small && ` +
		`"$0" -c /run/lab/first.toml --no-clock & sleep 1.5; kill %1 2>/dev/null; kill $!; wait; cp /run/small/keys /run/lab/kept; ` + mount + ` exec "$@"`
	t.Write(h, "first.toml", "[observability]\nobservation-path = \"\"\n[[server]]\nlisten = \"127.0.0.1:123\"\n"+text+"[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	d := t.DaemonBehind(h, []string{"sh", "-c", script, filepath.Join(t.Bin, "ntp-daemon")}, "server",
		"[[server]]\nlisten = \"127.0.0.1:123\"\n"+text+"[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Pause(3 * time.Second) // the first daemon has gone
	t.Serving(d, "127.0.0.1:123")
	return d
}

func fullDisk(t *scene.Trial) {
	for name, mount := range map[string]string{
		"full":      `true full; dd if=/dev/zero of=/run/small/filler bs=1k 2>/dev/null;`,
		"read-only": `false read-only; mount -o remount,ro /run/small;`,
	} {
		d := diskServer(t, mount)
		kept, err := os.ReadFile(filepath.Join(d.Host.Dir, "kept"))
		t.Check(err)
		if _, _, err := cookie.Parse(kept); err != nil {
			t.Fatal("%s: no keys were stored before: %v", name, err)
		}
		t.Control("%s: keys are stored while there is room", name)
		t.Pause(4 * time.Second) // several renewals
		t.Alive(d.Process)
		now, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/small/keys", d.Pid()))
		t.Check(err)
		if !bytes.Equal(kept, now) {
			t.Fatal("%s: the stored keys have changed", name)
		}
		if _, _, err := cookie.Parse(now); err != nil {
			t.Fatal("%s: %v", name, err)
		}
		// Each renewal, of which there is one a day unless configured otherwise, tries again and says so.
		said := strings.Count(d.Text(), "could not store the nts server keys")
		if name == "full" {
			t.Check(os.Remove(fmt.Sprintf("/proc/%d/root/run/small/filler", d.Pid())))
			t.Eventually(10*time.Second, func() error {
				now, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/small/keys", d.Pid()))
				if err == nil && bytes.Equal(kept, now) {
					err = fmt.Errorf("with room again the keys are not stored")
				}
				return err
			})
		}
		if said < 1 || said > 8 {
			t.Fatal("%s: it is said %d times", name, said)
		}
		t.Saw("%s: the old keys stay, %d failed attempts are said", name, said)
	}
}

func rotation(t *scene.Trial) {
	h := t.Host("host")
	// Cookies wait for up to eight polls, of two seconds at first: sixteen renewals have to leave them good.
	text := scene.Server + strings.Replace(storing, "stale-key-count = 3", "stale-key-count = 17", 1)
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	c := t.Daemon(h, "client", scene.Client+scene.NTS("server.test"))
	t.Samples(c, 0, 0, 2, 30*time.Second)
	t.Control("the client is served with authentication")
	old := t.Session(h, exchangeAddr, "server.test")
	naks := func(d *scene.Daemon) uint64 { return t.MustState(d).Servers[0].Stats["nts_nak_packets"] }
	t.Samples(c, 0, 0, 20, 50*time.Second) // about as long as a key is kept
	if n := naks(d); n != 0 {
		t.Fatal("%d NAKs while keys are renewed", n)
	}
	asking := t.Dial(h, "127.0.0.1:123")
	t.Eventually(20*time.Second, func() error {
		if a := one(t, asking, old, old.Request(scene.Parts{})); !a.NAK() {
			return fmt.Errorf("a cookie of the beginning is still good: no key was renewed: %+v", a)
		}
		return nil
	})
	rotated := t.MustState(c).Own.Sources[0]
	d.Stop()
	d = t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	after := t.Samples(c, 0, rotated.Taken(), 4, 40*time.Second)
	if n := naks(d); n != 0 {
		t.Fatal("%d NAKs after a restart", n)
	}
	if after.ID != rotated.ID {
		t.Fatal("a new association was needed")
	}
	t.Saw("%d measurements over as many renewals and a restart, no NAK", after.Taken())
}
