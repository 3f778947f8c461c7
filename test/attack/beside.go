package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

var besideRows = []scene.Row{
	{ID: "T82", What: "a second daemon with the first one's addresses or sockets, strangers on its port, and other time daemons", Limit: 4 * time.Minute, Prove: beside},
}

// besideSockets are the sockets that both daemons are told to have.
const besideSockets = "[observability]\nobservation-path = \"/run/lab/first.observe\"\ncontrol-path = \"/run/lab/control\"\n"

// besideServer is the server's configuration at another address.
func besideServer(addr string) string {
	return strings.ReplaceAll(scene.Server, "127.0.0.1", addr)
}

// onlyTime is a server that exchanges no keys, and leaves the system's clock alone.
func onlyTime(listen string) string {
	return fmt.Sprintf("[[server]]\nlisten = %q\n[synchronization]\nupdate-system-clock = false\nlocal-stratum = 1\nstate-path = \"\"\n", listen)
}

func beside(t *scene.Trial) {
	h := t.Host("host")
	t.Upstream(h, "127.0.0.9:123")
	first := t.Daemon(h, "first", besideSockets+scene.Server+plainSource("127.0.0.9"))
	t.Serving(first, "127.0.0.1:123")
	honest(t, h)
	t.Check(both(first, "127.0.0.1:123"))
	t.Control("the first daemon serves time and keys, and answers on both of its sockets")

	sameAddresses(t, h, first)
	sameSockets(t, h, first)
	strangers(t, h)
	rivals(t, h)
	t.RunTests("clock", "TestWatchNoticesAForeignStep", "TestWatchIgnoresForeignFrequencies", "TestSystemNoticesOthers")
	t.RunTests("daemon", "TestOthersAreNamedOnceAnHour")
	t.RunTests("daemon/observe", "TestAnAnsweringSocketIsNotTakenOver")
}

// both wants a daemon that serves on an address, and has a source, to answer at the sockets.
func both(d *scene.Daemon, addr string) error {
	s, err := d.State()
	if err != nil {
		return err
	}
	if len(s.Servers) != 1 || s.Servers[0].Address != addr {
		return fmt.Errorf("the observation socket answers for %+v, want %s", s.Servers, addr)
	}
	c, err := net.DialTimeout("unix", filepath.Join(d.Host.Dir, "control"), time.Second)
	if err != nil {
		return err
	}
	answer, err := converse(c, "{\"schema\":1,\"verb\":\"source-list\"}\n")
	if err == nil && !strings.Contains(answer, "127.0.0.9") {
		err = fmt.Errorf("the control socket answers for another daemon: %.300s", answer)
	}
	return err
}

// sameAddresses starts daemons that are to serve where the first does. Its own sockets share the port with each other,
// which must be no door for others.
func sameAddresses(t *scene.Trial, h *lab.Host, first *scene.Daemon) {
	for name, text := range map[string]string{
		"same":      onlyTime("127.0.0.1:123"),
		"wildcard":  onlyTime("0.0.0.0:123"),
		"same-keys": strings.Replace(scene.Server, "127.0.0.1:123", "127.0.0.3:123", 1),
	} {
		refused(t, t.Daemon(h, name, text), "address already in use")
	}
	before := receivedBy(t, first)
	packets := make([][]byte, 200)
	for i := range packets {
		packets[i] = scene.Plain()
	}
	replies, err := t.Dial(h, "127.0.0.1:123").Volley(packets)
	t.Check(err)
	if got := receivedBy(t, first) - before; len(replies) < len(packets) || got < uint64(len(packets)) {
		t.Fatal("of %d requests the first daemon got %d; %d were answered", len(packets), got, len(replies))
	}
	honest(t, h)
	t.Saw("a second daemon on its addresses ends and says why, and takes none of its clients")
}

// refused wants a daemon to end at its start with an error that says something.
func refused(t *scene.Trial, d *scene.Daemon, says string) {
	t.Eventually(15*time.Second, func() error {
		if ended, _ := d.Exited(); !ended {
			return fmt.Errorf("%s runs", d.Name)
		}
		return nil
	})
	if _, err := d.Exited(); err == nil || !strings.Contains(d.Text(), says) {
		t.Fatal("%s ended with %v, and does not say %q: %s", d.Name, err, says, d.Tail(3))
	}
}

// sameSockets starts a daemon that is to answer where the first does, and another once that is dead.
func sameSockets(t *scene.Trial, h *lab.Host, first *scene.Daemon) {
	second := t.Daemon(h, "second", besideSockets+besideServer("127.0.0.3"))
	t.Serving(second, "127.0.0.3:123")
	for _, socket := range []string{"first.observe", "control"} {
		if !strings.Contains(second.Text(), "/"+socket+": another daemon answers there") {
			t.Fatal("the second daemon does not say that %s is taken: %s", socket, second.Tail(5))
		}
	}
	t.Check(both(first, "127.0.0.1:123"))
	second.Stop()
	t.Check(both(first, "127.0.0.1:123"))
	t.Saw("a second daemon with its sockets' paths serves without any, says so, and leaves them alone when it ends")

	t.Check(first.Signal(syscall.SIGKILL))
	t.Eventually(10*time.Second, func() error {
		if ended, _ := first.Exited(); !ended {
			return fmt.Errorf("it runs")
		}
		return nil
	})
	for _, socket := range []string{"first.observe", "control"} {
		if _, err := os.Stat(filepath.Join(h.Dir, socket)); err != nil {
			t.Fatal("a daemon that was killed left no socket: %v", err)
		}
	}
	third := t.Daemon(h, "first", besideSockets+besideServer("127.0.0.3")+plainSource("127.0.0.9"))
	t.Serving(third, "127.0.0.3:123")
	t.Check(both(third, "127.0.0.3:123"))
	third.Stop()
	t.Control("the sockets of a daemon that was killed are taken over")
}

// strangers hold the port, alone or ready to share it.
func strangers(t *scene.Trial, h *lab.Host) {
	text := onlyTime("127.0.0.4:1123")
	for name, c := range map[string]struct {
		addr   string
		option int
	}{
		"alone":        {"127.0.0.4:1123", 0},
		"everywhere":   {"0.0.0.0:1123", 0},
		"sharing":      {"127.0.0.4:1123", unix.SO_REUSEPORT},
		"reusing":      {"127.0.0.4:1123", unix.SO_REUSEADDR},
		"sharing-more": {"0.0.0.0:1123", unix.SO_REUSEPORT},
	} {
		held := holdPort(t, h, c.addr, c.option)
		refused(t, t.Daemon(h, name, text), "could not serve NTP on 127.0.0.4:1123: address already in use")
		held()
	}
	d := t.Daemon(h, "free", text)
	t.Serving(d, "127.0.0.4:1123")
	d.Stop()
	t.Control("without strangers on its port the daemon starts")
	t.Saw("with five kinds of strangers there it ends and names the port")
}

// holdPort binds a socket of a stranger.
func holdPort(t *scene.Trial, h *lab.Host, addr string, opt int) (release func()) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if opt == 0 {
			return nil
		}
		if failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, opt, 1) }); failed != nil {
			return failed
		}
		return err
	}}
	var c net.PacketConn
	// A program that another row starts has a copy of the socket before, until it begins.
	t.Eventually(5*time.Second, func() error {
		return h.Inside(func() (err error) {
			c, err = config.ListenPacket(t.Context, "udp4", addr)
			return err
		})
	})
	t.Cleanup(func() { c.Close() })
	return func() { c.Close() }
}

// rivals are programs that are known to steer clocks: the doctor is to find them.
func rivals(t *scene.Trial, h *lab.Host) {
	ours := t.Daemon(h, "ours", onlyTime("127.0.0.4:1123"))
	t.Answering(ours)
	doctor := func() string {
		out, _ := h.Output(lab.Program{Args: []string{filepath.Join(t.Bin, "ntp-ctl"), "doctor", "-c", lab.RunDir + "/ours.toml"}}) // what it finds makes its exit code
		return out
	}
	if out := doctor(); !strings.Contains(out, "no other time daemon among") {
		t.Fatal("the doctor finds others before there are any: %s", out)
	}
	t.Control("the doctor finds no other time daemon where there is none")
	sleep, err := exec.LookPath("sleep")
	t.Check(err)
	program, err := os.ReadFile(sleep)
	t.Check(err)
	names := []string{"chronyd", "ntpd", "systemd-timesyncd"}
	for _, name := range names {
		t.Check(os.WriteFile(filepath.Join(h.Dir, name), program, 0o755))
		p, err := h.Start(lab.Program{Args: []string{lab.RunDir + "/" + name, "600"}, Log: name + ".log"})
		t.Check(err)
		if out := doctor(); !strings.Contains(out, "other-daemon: "+name+" (process") {
			t.Fatal("the doctor does not find %s: %s", name, out)
		}
		p.Stop()
	}
	ours.Stop()
	ours.Stop()
	held := holdPort(t, h, "127.0.0.4:1123", 0)
	defer held()
	if out := doctor(); !strings.Contains(out, "port: udp 127.0.0.4:1123: taken by") {
		t.Fatal("the doctor does not find who has the port: %s", out)
	}
	t.Saw("the doctor names %s beside the daemon, and who has its port", strings.Join(names, ", "))
}
