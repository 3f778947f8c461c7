package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

const exporterAddr = "127.0.0.1:9975"

// logFlood counts what strangers can write.
func logFlood(t *scene.Trial) {
	h := t.Host("host")
	text := strings.Replace(scene.Server, "listen = \"127.0.0.1:123\"", "listen = \"127.0.0.1:123\"\nrate-limiting-cache-size = 64\nrate-limiting-cutoff-ms = 1\n", 1)
	d := t.Daemon(h, "server", "[observability]\nlog-level = \"trace\"\nobservation-path = \"/run/lab/server.observe\"\n"+text, "-l", "trace")
	t.Serving(d, "127.0.0.1:123")
	session := t.Session(h, exchangeAddr, "server.test")
	t.Control("a plain request and a key exchange are answered")
	lines := func() int { return strings.Count(d.Text(), "\n") }
	before, sent, known := lines(), 0, receivedBy(t, d)
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
	for name, packet := range classes {
		for range 40000 {
			if _, err := s.Write(packet); err == nil {
				sent++
			}
		}
		// The kernel may shed most of them, and while it does a socket filter all of the garbage: some have to arrive,
		// of each kind. It ends when little is dropped, and when a request that it lets through has the server look.
		awake := uint64(0)
		t.Eventually(20*time.Second, func() error {
			for _, b := range [][]byte{scene.Plain(), packet, packet, packet, packet} {
				if _, err := s.Write(b); err == nil {
					sent++
				}
			}
			awake++
			now := receivedBy(t, d)
			if now < known+20+awake {
				return fmt.Errorf("%s: only %d of 40000 datagrams reached the server: the row shows nothing", name, now-known)
			}
			known = now
			return nil
		})
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
	t.Saw("%d bad packets and handshakes of %d kinds, %d lines of log at its finest level; %d reached the server", sent, len(classes)+2, n, known)
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
	// The log sees failures too: of requests, of tokens, and at the end a dump of all goroutines.
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
	var all strings.Builder
	fmt.Fprintf(&all, "%+v", state)
	for _, format := range []string{"plain", "prometheus"} {
		out, err := h.Output(lab.Program{Args: []string{filepath.Join(t.Bin, "ntp-ctl"), "status", "-c", "/run/lab/both.toml", "-f", format}})
		t.Check(err)
		all.WriteString(out)
	}
	t.Check(d.Signal(syscall.SIGABRT)) // Go writes down where every goroutine is, with the arguments
	t.Eventually(10*time.Second, func() error {
		if ended, _ := d.Exited(); !ended {
			return fmt.Errorf("it does not end")
		}
		return nil
	})
	said := all.String() + d.Text()
	if !strings.Contains(said, "goroutine 1 ") || !strings.Contains(said, "ntp_") || len(said) < 10000 {
		t.Fatal("there is too little to look through: %d octets", len(said))
	}
	for name, secret := range known {
		for i, form := range spellings(secret[len(secret)/2 : len(secret)/2+8]) {
			if found := leaked("x"+form+"y", map[string][]byte{name: secret}); found != name {
				t.Fatal("a %s is not found where it is written in spelling %d", name, i)
			}
		}
	}
	t.Control("each of %d secrets is found where it is written, in each of %d spellings", len(known), len(spellings(make([]byte, 8))))
	if name := leaked(said, known); name != "" {
		t.Fatal("eight octets of a %s are in the log, the state, the metrics or the dump", name)
	}
	t.Saw("%d octets of log at trace level, state, metrics and a dump of all goroutines: no eight octets of %d secrets", len(said), len(known))
}

// leaked is the name of a secret of which eight octets are in a text, in any spelling.
func leaked(text string, secrets map[string][]byte) string {
	for name, secret := range secrets {
		for i := 0; i+8 <= len(secret); i++ {
			for _, form := range spellings(secret[i : i+8]) {
				if strings.Contains(text, form) {
					return name
				}
			}
		}
	}
	return ""
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
	wrapper := []string{"sh", "-c", "chmod 644 /run/lab/server.toml; exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+net_bind_service,+chown,+net_raw,+setpcap --ambient-caps=-all,+net_bind_service,+chown,+net_raw,+setpcap --bounding-set=-all,+net_bind_service,+chown,+net_raw,+setpcap \"$@\"", "sh"}
	d := t.DaemonBehind(h, wrapper, "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	honest(t, h)
	t.Control("the daemon serves NTP and keys as nobody")
	family := lab.Family(d.Pid())
	if len(family) != 2 {
		t.Fatal("the daemon and the process of its key exchange are %d processes", len(family))
	}
	const bind, none = "0000000000000400", "0000000000000000" // CAP_NET_BIND_SERVICE
	threads := 0
	for i, pid := range family {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		t.Check(err)
		threads += len(tasks)
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			t.Check(err)
			for line := range strings.Lines(string(status)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				value = strings.TrimSpace(value)
				switch {
				case name == "CapEff" || name == "CapPrm":
					if value != none && (value != bind || i > 0) {
						t.Fatal("%s: %s is %s", task, name, value)
					}
				case name == "CapBnd" && value != bind && value != none:
					t.Fatal("%s: %s is %s", task, name, value)
				case name == "NoNewPrivs" && value != "1":
					t.Fatal("%s may gain privileges", task)
				case name == "Uid" && !strings.HasPrefix(value, "65534"):
					t.Fatal("%s runs as %s", task, value)
				}
			}
		}
	}
	t.Alive(d.Process)
	t.Saw("%d threads as nobody, each with no capability but the low port, and those of the key exchange without", threads)
}

func badStarts(t *scene.Trial) {
	h, _, _ := served(t, scene.Server)
	elsewhere := strings.ReplaceAll(scene.Server, "127.0.0.1", "127.0.0.3")
	good := t.Daemon(h, "good", elsewhere)
	t.Serving(good, "127.0.0.3:123")
	good.Stop()
	t.Control("what the broken configurations are made from starts")
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
