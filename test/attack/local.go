package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
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

// Attacks from the machine itself, through its sockets and files.
var localRows = []scene.Row{
	{ID: "T32", P0: true, What: "1,000 connections, garbage and readers that do not read at the observation and control sockets, and a stranger's commands", Prove: observationAbuse},
	{ID: "T33", P0: true, What: "a moment in which the observation socket is open to others; files and links in its place", Prove: socketPlaces},
	{ID: "T34", P0: true, What: "half requests, endless headers, 1,000 connections and other methods at the metrics exporter", Prove: exporterAbuse},
	{ID: "T35", P0: true, What: "floods of bad packets and handshakes: how many lines of log?", Prove: logFlood},
	{ID: "T36", P0: true, What: "secrets in logs at the finest level and in the state", Prove: secrets},
	{ID: "T37", P0: true, What: "the daemon as nobody with one capability: does it need or have more?", Prove: privileges},
	{ID: "T80", What: "files and addresses that are not there or not ours, keys nobody knows", Prove: badStarts},
}

// badNumbers has the configuration checked with numbers that are none.
func badNumbers(t *scene.Trial, h *lab.Host) {
	keys := map[string]string{
		"[synchronization]\nsingle-step-panic-threshold":                  "1",
		"[synchronization]\naccumulated-step-panic-threshold":             "1",
		"[synchronization.algorithm]\nstep-threshold":                     "1",
		"[synchronization.algorithm]\nmaximum-frequency-steer":            "1e-6",
		"[synchronization.algorithm]\nslew-maximum-frequency-offset":      "1e-6",
		"[synchronization.algorithm]\ninitial-wander":                     "1e-8",
		"[synchronization.algorithm]\nmaximum-source-uncertainty":         "1",
		"[keyset]\nstale-key-count":                                       "1",
		"[keyset]\nkey-rotation-interval":                                 "1",
		"[[server]]\nlisten = \"127.0.0.1:123\"\nrate-limiting-cutoff-ms": "1",
	}
	refused := 0
	for key, good := range keys {
		if err := validate(t, h, key+" = "+good+"\n"); err != nil {
			t.Fatal("%s = %s is refused: %v", key, good, err)
		}
		for _, bad := range []string{"nan", "-nan", "inf", "-inf", "-1", "-1e308", "\"1\"", "9223372036854775808", "[1]"} {
			if bad == "inf" && strings.HasPrefix(key, "[synchronization.algorithm]") {
				continue // without limit
			}
			if err := validate(t, h, key+" = "+bad+"\n"); err == nil {
				t.Fatal("%s = %s is accepted", key, bad)
			}
			refused++
		}
	}
	t.Saw("%d bad numbers refused", refused)
}

// validate is ntp-ctl validate of a configuration with a source.
func validate(t *scene.Trial, h *lab.Host, text string) error {
	if !strings.Contains(text, "[[server]]") {
		text += "[[source]]\nmode = \"server\"\naddress = \"127.0.0.1\"\n"
	}
	file := t.Write(h, "check.toml", text)
	out, err := h.Output(lab.Program{Args: []string{filepath.Join(t.Bin, "ntp-ctl"), "validate", "-c", file}})
	if err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	return nil
}

func observationAbuse(t *scene.Trial) {
	const sockets = "[observability]\nobservation-path = \"/run/lab/server.observe\"\ncontrol-path = \"/run/lab/control\"\n"
	h, d, _ := served(t, sockets+scene.Server)
	t.MustState(d)
	t.Check(os.WriteFile(filepath.Join(h.Dir, "world.toml"), []byte(sockets), 0o644))
	t.Control("the observation socket answers")
	before, err := scene.Memory(d.Pid())
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
	after, err := scene.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 10<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("%d connections, memory %+d KiB, NTP unaffected, the socket answers again", len(open), (after-before)>>10)
	controlAbuse(t, d)
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
	before, err := scene.Memory(d.Pid())
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
	after, err := scene.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 10<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("control: 13 bad requests and %d half ones refused, nobody's command too, memory %+d KiB", len(open), (after-before)>>10)
}

func socketPlaces(t *scene.Trial) {
	h := t.Host("host")
	const text = "[observability]\nobservation-path = \"/run/lab/NAME\"\nobservation-permissions = 0o600\n" + scene.Server
	path := filepath.Join(h.Dir, "private")
	var worst atomic.Uint32
	var looks atomic.Uint64
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil {
				looks.Add(1)
				worst.Store(worst.Load() | uint32(info.Mode().Perm()))
			}
		}
	}()
	for range 30 {
		d := t.Daemon(h, "server", strings.Replace(text, "NAME", "private", 1))
		t.Eventually(10*time.Second, func() error { _, err := os.Lstat(path); return err })
		t.Serving(d, "127.0.0.1:123")
		d.Stop()
		_ = os.Remove(path)
	}
	close(stop)
	<-watched
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

const exporterAddr = "127.0.0.1:9975"

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
	before, err := scene.Memory(e.Pid())
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
	after, err := scene.Memory(e.Pid())
	t.Check(err)
	if grown := after - before; grown > 48<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Alive(d.Process)
	t.Saw("%d half requests and eight odd ones; memory %+d KiB, metrics again afterwards", len(open), (after-before)>>10)
}

// logFlood counts what strangers can write.
func logFlood(t *scene.Trial) {
	h := t.Host("host")
	text := strings.Replace(scene.Server, "listen = \"127.0.0.1:123\"", "listen = \"127.0.0.1:123\"\nrate-limiting-cache-size = 64\nrate-limiting-cutoff-ms = 1\n", 1)
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	session := t.Session(h, exchangeAddr, "server.test")
	t.Control("a plain request and a key exchange are answered")
	lines := func() int { return strings.Count(d.Text(), "\n") }
	before, sent := lines(), 0
	s := t.Dial(h, "127.0.0.1:123")
	classes := map[string][]byte{
		"long":        scene.Random(4000),
		"short":       scene.Random(20),
		"bad version": scene.Header(0, 3),
		"bad mode":    scene.Header(4, 6),
		"bad MAC":     append(scene.Plain(), scene.Random(13)...),
		"bad cookie":  session.Request(scene.Parts{Cookies: [][]byte{scene.Random(104)}}),
		"plain":       scene.Plain(),
	}
	for _, packet := range classes {
		for range 40000 {
			if _, err := s.Write(packet); err == nil {
				sent++
			}
		}
	}
	// Answers that cannot be sent.
	raw := t.Raw(h)
	for range 5000 {
		raw.Send(t, scene.At("127.0.0.3:1"), scene.At("127.0.0.1:123"), scene.Plain())
		raw.Send(t, scene.At("10.99.99.99:123"), scene.At("127.0.0.1:123"), scene.Plain())
		sent += 2
	}
	for range 300 {
		if c, err := t.Connect(h, exchangeAddr); err == nil {
			_, _ = c.Write(scene.Random(100))
			c.Close()
			sent++
		}
	}
	t.Pause(time.Second)
	t.Alive(d.Process)
	n := lines() - before
	if n > 20 {
		t.Fatal("%d lines of log: %s", n, d.Tail(3))
	}
	t.Saw("%d bad packets and handshakes of %d kinds, %d lines of log", sent, len(classes)+2, n)
}

func secrets(t *scene.Trial) {
	h := t.Host("host")
	token := "token-" + hex.EncodeToString(scene.Random(16))
	u := t.Upstream(h, "127.0.0.2:123")
	t.Keys(h, u, "127.0.0.2:4460", "second", scene.At("127.0.0.2:123"))
	text := "[observability]\nlog-level = \"trace\"\nobservation-path = \"/run/lab/both.observe\"\n" +
		strings.Replace(scene.Server, "[synchronization]", "accepted-pool-authentication-tokens = [\""+token+"\"]\n[keyset]\nkey-storage-path = \"/run/lab/keys\"\n[synchronization]", 1) +
		"minimum-agreeing-sources = 1\n[source-defaults]\npoll-interval-limits = { min = 0, max = 0 }\n" + scene.NTS("second.test")
	d := t.Daemon(h, "both", text, "-l", "trace")
	t.Samples(d, 0, 0, 3, 30*time.Second)
	session := t.Session(h, exchangeAddr, "server.test")
	t.Control("a daemon with cookie keys, a token, a client's and a server's associations, logging everything")
	// The log sees failures too: of requests, of tokens, and a dump of all goroutines.
	s := t.Dial(h, "127.0.0.1:123")
	bad := session.Request(scene.Parts{})
	bad[60] ^= 1
	_, err := s.Volley([][]byte{session.Request(scene.Parts{}), bad})
	t.Check(err)
	_, err = ask(t, h, message(record(14, true, []byte(token)...), record(12, true, make([]byte, 64)...), protocols, aeads, end))
	t.Check(err)
	_, err = ask(t, h, message(record(14, true, []byte("no-"+token)...), protocols, aeads, end))
	t.Check(err)
	state, err := d.State()
	t.Check(err)
	keys, err := os.ReadFile(filepath.Join(h.Dir, "keys"))
	t.Check(err)
	if info, err := os.Stat(filepath.Join(h.Dir, "keys")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal("the key file has mode %v (%v)", info.Mode(), err)
	}
	known := map[string][]byte{
		"cookie key": keys[20:], "c2s": session.Keys[0], "s2c": session.Keys[1], "token": []byte(token),
	}
	for i, c := range session.Cookies {
		known[fmt.Sprintf("cookie %d", i)] = c[22:]
	}
	for i, r := range u.Requests() {
		known[fmt.Sprintf("cookie in request %d", i)] = r[90:140]
	}
	d.Stop()
	said := d.Text() + fmt.Sprintf("%+v", state)
	if len(said) < 500 {
		t.Fatal("the log is too short to show anything: %d octets", len(said))
	}
	for name, secret := range known {
		for i := 0; i+8 <= len(secret); i++ {
			for _, form := range spellings(secret[i : i+8]) {
				if strings.Contains(said, form) {
					t.Fatal("eight octets of a %s are in the log or state", name)
				}
			}
		}
	}
	t.Saw("%d octets of log at trace level and state, no eight octets of %d secrets in six spellings", len(said), len(known))
}

// spellings are the forms in which octets get into a log.
func spellings(b []byte) []string {
	hexadecimal := hex.EncodeToString(b)
	return []string{
		string(b), hexadecimal, strings.ToUpper(hexadecimal), base64.StdEncoding.EncodeToString(b)[:10],
		strings.Trim(fmt.Sprintf("%d", b), "[]"), fmt.Sprintf("% x", b),
	}
}

// privileges runs the daemon as its unit does: as nobody, with what it needs for port 123 and nothing else.
func privileges(t *scene.Trial) {
	h := t.Host("host")
	t.Check(os.Chmod(h.Dir, 0o777)) // for the socket
	for _, name := range []string{"server.chain.pem", "server.key"} {
		t.Check(os.Chmod(filepath.Join(h.Dir, name), 0o644))
	}
	wrapper := []string{"sh", "-c", "chmod 644 /run/lab/server.toml; exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service \"$@\"", "sh"}
	d := t.DaemonBehind(h, wrapper, "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	honest(t, h)
	t.Control("the daemon serves NTP and keys as nobody")
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", d.Pid()))
	t.Check(err)
	const bind = "0000000000000400" // CAP_NET_BIND_SERVICE
	for _, task := range tasks {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", d.Pid(), task.Name()))
		t.Check(err)
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			value = strings.TrimSpace(value)
			switch {
			case name == "CapEff" || name == "CapPrm" || name == "CapBnd":
				if value != bind && value != "0000000000000000" {
					t.Fatal("thread %s: %s is %s", task.Name(), name, value)
				}
			case name == "NoNewPrivs" && value != "1":
				t.Fatal("thread %s may gain privileges", task.Name())
			case name == "Uid" && !strings.HasPrefix(value, "65534"):
				t.Fatal("thread %s runs as %s", task.Name(), value)
			}
		}
	}
	t.Alive(d.Process)
	t.Saw("%d threads as nobody, each with no capability but the low port", len(tasks))
}

func badStarts(t *scene.Trial) {
	h, _, _ := served(t, scene.Server)
	cases := map[string]string{
		"an unknown key":           "[[server]]\nlisten = \"127.0.0.3:123\"\nno-such-key = 1\n",
		"a wrong type":             "[[server]]\nlisten = 123\n",
		"a busy port":              "[[server]]\nlisten = \"127.0.0.1:123\"\n",
		"a missing certificate":    strings.NewReplacer("127.0.0.1", "127.0.0.3", "server.chain", "absent.chain").Replace(scene.Server),
		"a key of another":         strings.NewReplacer("127.0.0.1", "127.0.0.3", "server.key", "second.key").Replace(scene.Server),
		"garbage for a key":        strings.NewReplacer("127.0.0.1", "127.0.0.3", "server.key", "ca.pem").Replace(scene.Server),
		"no TOML":                  "[[server\n",
		"a busy key exchange port": strings.Replace(scene.Server, "127.0.0.1:123", "127.0.0.3:123", 1),
	}
	for name, text := range cases {
		d := t.Daemon(h, "bad", text)
		t.Eventually(10*time.Second, func() error {
			if ended, _ := d.Exited(); !ended {
				return fmt.Errorf("with %s the daemon runs", name)
			}
			return nil
		})
		if _, err := d.Exited(); err == nil {
			t.Fatal("with %s the daemon ends as if all were well", name)
		}
		if len(strings.TrimSpace(d.Tail(1))) < 20 {
			t.Fatal("with %s the daemon says nothing", name)
		}
	}
	t.Saw("%d broken starts end with an error and a reason", len(cases))
}
