package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func observationAbuse(t *scene.Trial) {
	const sockets = "[observability]\nobservation-path = \"/run/lab/server.observe\"\ncontrol-path = \"/run/lab/control\"\n"
	h, d, _ := served(t, sockets+scene.Server)
	t.MustState(d)
	t.Check(os.WriteFile(filepath.Join(h.Dir, "world.toml"), []byte(sockets), 0o644))
	honest(t, h) // the process of the key exchange counts, and is there
	t.Control("the observation socket answers")
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	path := filepath.Join(d.Host.Dir, "server.observe")
	var open []net.Conn
	for i := range 1000 {
		c, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if err != nil {
			continue // the backlog is full, as it should be
		}
		switch i % 4 {
		case 0:
			_, _ = c.Write(scene.Random(1 << 16)) // nobody reads it
		case 1:
			_, _ = c.Write(bytes.Repeat([]byte{0xff}, 8)) // a length of 2^64
		case 2:
			_, _ = c.Write([]byte(strings.Repeat("[", 1<<14)))
		}
		open = append(open, c) // and nobody reads the answer
	}
	if len(open) < 50 {
		t.Fatal("only %d connections: the row shows nothing", len(open))
	}
	t.Check(letGo(open[0], 15*time.Second))
	s := t.Dial(d.Host, "127.0.0.1:123")
	for range 100 {
		replies, err := s.Volley([][]byte{scene.Plain()})
		if err != nil || len(replies) != 1 {
			t.Fatal("NTP suffers: %v", err)
		}
	}
	for _, c := range open {
		c.Close()
	}
	t.Eventually(10*time.Second, func() error { _, err := d.State(); return err })
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 10<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("%d connections, memory %+d KiB, NTP unaffected, the socket answers again", len(open), (after-before)>>10)
	controlAbuse(t, d)
}

// letGo wants the other end to close a connection of somebody who says no more.
func letGo(c net.Conn, within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a client that says no more is kept for %v", within)
	}
	return nil // also if the other end reset it
}

// converse sends a request, and returns all that is answered until the other end closes.
func converse(c net.Conn, request string) (string, error) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	return string(b), err
}

// controlAbuse does the same to the control socket.
func controlAbuse(t *scene.Trial, d *scene.Daemon) {
	path := filepath.Join(d.Host.Dir, "control")
	command := func(request string) (string, error) {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			return "", err
		}
		return converse(c, request)
	}
	const good = "{\"schema\":1,\"verb\":\"source-list\"}\n"
	works := func() error {
		answer, err := command(good)
		if err == nil && !strings.Contains(answer, "\"done\":true") {
			err = fmt.Errorf("%.200s", answer)
		}
		return err
	}
	t.Check(works())
	t.Control("the control socket carries out a command of its owner")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal("the control socket has mode %v (%v)", info.Mode(), err)
	}
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	for _, request := range []string{
		"\n", "{}\n", "null\n", "[]\n", "{\"schema\":99,\"verb\":\"reload\"}\n", "{\"schema\":1,\"verb\":\"no-such-verb\"}\n",
		"{\"schema\":1,\"verb\":\"source-remove\",\"source\":\"no.such.test\"}\n", "{\"schema\":1,\"verb\":\"source-add\",\"config\":\"mode = 1\"}\n",
		strings.Repeat("[", 15000) + "\n", strings.Repeat("{\"a\":", 2500) + "\n", strings.Repeat("x", 1<<20), "\xff\xfe\x00\n", "{\"schema\":1",
	} {
		if answer, _ := command(request); strings.Contains(answer, "\"done\":true") { // a closed connection is an answer, too
			t.Fatal("%.40q was carried out: %.200s", request, answer)
		}
		t.Alive(d.Process)
	}
	var open []net.Conn
	for range 1000 {
		c, err := net.DialTimeout("unix", path, 20*time.Millisecond)
		if err != nil {
			break // the backlog is full, as it should be
		}
		_, _ = io.WriteString(c, "{")
		open = append(open, c)
	}
	if len(open) < 50 {
		t.Fatal("only %d connections: the row shows nothing", len(open))
	}
	t.Check(letGo(open[0], 15*time.Second))
	for _, c := range open {
		c.Close()
	}
	t.Eventually(10*time.Second, works)
	// Root may command, nobody may not, whatever the modes of the files.
	t.Check(os.Chmod(d.Host.Dir, 0o777))
	t.Check(os.Chmod(path, 0o666))
	out, err := d.Host.Output(lab.Program{Args: []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		filepath.Join(t.Bin, "ntp-ctl"), "source", "list", "-c", lab.RunDir + "/world.toml"}})
	if err == nil {
		t.Fatal("nobody's command was carried out: %s", out)
	}
	if n := strings.Count(d.Text(), "a command was refused"); n == 0 {
		t.Fatal("nobody's command did not reach the socket: %v", err)
	}
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 10<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("control: 13 bad requests and %d half ones refused, nobody's command too, memory %+d KiB", len(open), (after-before)>>10)
}

// watchMode looks at a file again and again, as often as it can, and keeps all mode bits that it ever had.
func watchMode(path string) (worst *atomic.Uint32, looks *atomic.Uint64, stop func()) {
	worst, looks = new(atomic.Uint32), new(atomic.Uint64)
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-ended:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil {
				looks.Add(1)
				worst.Store(worst.Load() | uint32(info.Mode().Perm()))
			}
		}
	}()
	return worst, looks, func() { close(ended); <-watched }
}

func socketPlaces(t *scene.Trial) {
	h := t.Host("host")
	const text = "[observability]\nobservation-path = \"/run/lab/NAME\"\nobservation-permissions = 0o600\n" + scene.Server
	path := filepath.Join(h.Dir, "private")
	careless := filepath.Join(h.Dir, "careless")
	worst, looks, stop := watchMode(careless)
	n := 0
	for ; n < 5000 && worst.Load()&0o077 == 0; n++ { // made first and closed to others afterwards
		l, err := net.Listen("unix", careless)
		t.Check(err)
		t.Check(os.Chmod(careless, 0o600))
		l.Close()
	}
	stop()
	if worst.Load()&0o077 == 0 {
		t.Fatal("%d sockets that were open to others for a moment were not noticed in %d looks: the row shows nothing", n, looks.Load())
	}
	t.Control("a socket that is open to others until its mode is set is caught, after %d of them", n)
	worst, looks, stop = watchMode(path)
	for range 30 {
		d := t.Daemon(h, "server", strings.Replace(text, "NAME", "private", 1))
		t.Eventually(10*time.Second, func() error { _, err := os.Lstat(path); return err })
		t.Serving(d, "127.0.0.1:123")
		d.Stop()
		_ = os.Remove(path)
	}
	stop()
	if looks.Load() < 1000 {
		t.Fatal("only %d looks at the socket: the row shows nothing", looks.Load())
	}
	t.Control("the socket appears, %d looks at it in 30 starts", looks.Load())
	if mode := worst.Load(); mode&0o077 != 0 {
		t.Fatal("the socket was open to others for a moment: mode %o", mode)
	}
	// What is there already is not ours.
	regular, link, victim := filepath.Join(h.Dir, "regular"), filepath.Join(h.Dir, "link"), filepath.Join(h.Dir, "victim")
	for _, file := range []string{regular, victim} {
		t.Check(os.WriteFile(file, []byte("keep"), 0o644))
	}
	t.Check(os.Symlink("victim", link))
	t.Check(os.Mkdir(filepath.Join(h.Dir, "directory"), 0o755))
	for _, name := range []string{"regular", "link", "directory"} {
		d := t.Daemon(h, "server", strings.Replace(text, "NAME", name, 1))
		t.Serving(d, "127.0.0.1:123")
		d.Stop()
	}
	for _, file := range []string{regular, victim} {
		if b, err := os.ReadFile(file); err != nil || string(b) != "keep" {
			t.Fatal("%s was touched: %q (%v)", file, b, err)
		}
	}
	if target, err := os.Readlink(link); err != nil || target != "victim" {
		t.Fatal("the link was replaced")
	}
	t.Saw("never open to others; a file, a link and a directory in its place are left alone")
}

func exporterAbuse(t *scene.Trial) {
	program := filepath.Join(t.Bin, "ntp-metrics-exporter")
	if _, err := os.Stat(program); err != nil {
		t.Skip("there is no ntp-metrics-exporter here")
	}
	h, d, _ := served(t, scene.Server)
	e, err := h.Start(lab.Program{Args: []string{program, "-c", "/run/lab/server.toml"}, Log: "exporter.log"})
	t.Check(err)
	get := func(request string) (string, error) {
		c, err := t.Connect(h, exporterAddr)
		if err != nil {
			return "", err
		}
		return converse(c, request)
	}
	const good = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	works := func() error {
		page, err := get(good)
		if err == nil && (!strings.Contains(page, "200 OK") || !strings.Contains(page, "ntp_")) {
			err = fmt.Errorf("no metrics: %.200s", page)
		}
		return err
	}
	t.Eventually(10*time.Second, works)
	t.Control("the exporter gives metrics")
	before, err := lab.Memory(e.Pid())
	t.Check(err)
	var open []net.Conn
	for range 1000 {
		c, err := t.Connect(h, exporterAddr)
		if err != nil {
			break
		}
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: ")
		open = append(open, c)
	}
	if len(open) < 500 {
		t.Fatal("only %d connections: the row shows nothing", len(open))
	}
	t.Check(letGo(open[0], 20*time.Second))
	for _, request := range []string{
		"", "GET", "GET /metrics HTTP/1.1\r\n", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		strings.Repeat(strings.Replace(good, "Connection: close\r\n", "", 1), 100),
	} {
		if page, _ := get(request); strings.HasPrefix(request, "POST") && strings.Contains(page, "200 OK") { // errors are fine
			t.Fatal("POST is answered")
		}
		t.Alive(e)
	}
	if replies, err := t.Dial(h, "127.0.0.1:123").Volley([][]byte{scene.Plain()}); err != nil || len(replies) != 1 {
		t.Fatal("NTP suffers: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	t.Eventually(10*time.Second, works)
	after, err := lab.Memory(e.Pid())
	t.Check(err)
	if grown := after - before; grown > 48<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Alive(d.Process)
	t.Saw("%d half requests and eight odd ones; memory %+d KiB, metrics again afterwards", len(open), (after-before)>>10)
}
