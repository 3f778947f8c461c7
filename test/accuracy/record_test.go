package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/sim"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// upstream is an NTP and NTS server on loopback that remembers what it gave
// away.
type upstream struct {
	t       *testing.T
	ntp     *net.UDPConn
	keys    *cookie.Keyset
	mu      sync.Mutex
	secrets [][]byte
	asked   int // requests with keys
}

func (u *upstream) remember(all ...[]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range all {
		u.secrets = append(u.secrets, bytes.Clone(s))
	}
}

// seal makes a cookie.
func (u *upstream) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	nonce := make([]byte, cookie.NonceLen)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	c, err := u.keys.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, nonce)
	u.remember(c2s, s2c, c)
	return c, err
}

// serve answers requests.
func (u *upstream) serve() {
	responder := server.New(server.Config{Versions: server.Version3And4}, rand.Reader)
	snapshot := &server.TimeSnapshot{Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, ValidUntil: proto.Never}
	now := func() proto.Timestamp { return proto.FromTime(time.Now()) }
	buffer := make([]byte, 2048)
	for {
		n, from, err := u.ntp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		reply, v := responder.Respond(nil, server.Request{
			Payload: buffer[:n], From: from, To: from.Addr(), Rx: proto.Stamp{At: now(), Source: proto.StampDaemon}, Mono: 1,
		}, snapshot, u.keys, now)
		u.note(buffer[:n], reply)
		if v.Answered() {
			_, _ = u.ntp.WriteToUDPAddrPort(reply, from) // as good as lost
		}
	}
}

// note remembers the cookies of a request and of its reply.
func (u *upstream) note(request, reply []byte) {
	var s2c aead.AEAD
	for f := range fields(u.t, request) {
		if f.Type == proto.FieldCookie {
			u.remember(f.Value)
			if c, err := u.keys.Open(f.Value); err == nil {
				s2c, _ = aead.New(c.Algorithm, c.S2C) // nil is found out below
			}
		}
	}
	if s2c == nil {
		return
	}
	for f := range fields(u.t, reply) {
		if f.Type != proto.FieldAuthenticator {
			continue
		}
		inner, err := aead.OpenField(nil, reply, f, s2c)
		if err != nil {
			u.t.Error(err)
		}
		for c := range proto.Inner(inner) {
			u.remember(c.Value)
		}
	}
	u.mu.Lock()
	u.asked++
	u.mu.Unlock()
}

func fields(t *testing.T, packet []byte) func(func(proto.Field) bool) {
	p, err := proto.ParsePacket(packet)
	if err != nil {
		t.Error(err)
	}
	return p.All()
}

// start opens the server.
func (u *upstream) start() {
	u.t.Helper()
	var err error
	if u.keys, err = cookie.NewKeyset(rand.Reader); err != nil {
		u.t.Fatal(err)
	}
	if u.ntp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		u.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(u.serve)
	u.t.Cleanup(func() { u.ntp.Close(); running.Wait() })
}

// A real daemon with a plain and a protected source is recorded; the replay is
// identical, and none of its secrets is in the file.
func TestARealDaemonIsRecordedAndReplayed(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "../../cmd/ntp-daemon")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	u := &upstream{t: t}
	u.start()
	ca := testcert.NewCA(t)
	l, err := ke.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	leaf := ca.Leaf([]string{"localhost"})
	ntp := u.ntp.LocalAddr().(*net.UDPAddr).Port
	exchange := ke.NewServer(ke.ServerConfig{
		Listener: l, TLS: func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{leaf.TLS}} }, //nolint:gosec // the server sets the version
		Seal: func() nts.Sealer { return u.seal }, NTPPort: uint16(ntp),
	})
	var running sync.WaitGroup
	running.Go(func() {
		if err := exchange.Serve(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(running.Wait)
	config := filepath.Join(dir, "ntp.toml")
	text := fmt.Sprintf(`# the password of the router is hunter2hunter2
[[source]]
mode = "nts"
address = "localhost:%d"
certificate-authority = "%s"
[[source]]
mode = "server"
address = "127.0.0.1:%d"
[synchronization]
update-system-clock = false
minimum-agreeing-sources = 1
[observability]
log-level = "debug"
observation-path = ""
`, l.Addr().(*net.TCPAddr).Port, ca.File(), ntp)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "run.rec")
	command := func() *exec.Cmd {
		return exec.Command(filepath.Join(dir, "ntp-daemon"), "-c", config, "--record", file, "--software-clock-offset", "300ms", "--software-clock-drift", "20")
	}
	runDaemon(t, command(), u)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sim.Replay(bytes.NewReader(recorded))
	if err != nil || got.Differs != nil || got.End != "the daemon ended" {
		t.Fatalf("%v, %+v", err, got)
	}
	for _, args := range [][]string{{"-replay", file}, {"-replay", file, "-free"}} {
		if err := run(args); err != nil {
			t.Error(err)
		}
	}
	if got.Result.Steps == 0 {
		t.Error("a clock that is 300 ms wrong was not stepped")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked < 4 || len(u.secrets) < 12 {
		t.Fatalf("%d requests with keys, %d secrets", u.asked, len(u.secrets))
	}
	u.secrets = append(u.secrets, []byte("hunter2hunter2"))
	plain := payloads(recorded)
	for _, s := range u.secrets {
		if bytes.Contains(plain, s) {
			t.Fatalf("a secret is in the recording: %x", s)
		}
	}
	// The next run does not overwrite it.
	out, err := command().CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 64 || !strings.Contains(string(out), "run.rec exists and is not overwritten") {
		t.Errorf("%v\n%s", err, out)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, recorded) {
		t.Errorf("the recording was changed: %v", err)
	}
}

// runDaemon runs a daemon until both sources have been measured a few times.
func runDaemon(t *testing.T, cmd *exec.Cmd, u *upstream) {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	patience := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer patience.Stop()
	var lines []string
	measured := map[bool]int{} // with keys or without
	asked := false
	for s := bufio.NewScanner(log); s.Scan(); {
		lines = append(lines, s.Text())
		if strings.Contains(s.Text(), "code=measurement") {
			measured[strings.Contains(s.Text(), "source=localhost")]++
		}
		if !asked && measured[true] >= 4 && measured[false] >= 4 {
			asked = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	if err := cmd.Wait(); err != nil || !asked {
		t.Fatalf("the daemon ended with %v after %v measurements:\n%s", err, measured, strings.Join(lines, "\n"))
	}
}

// payloads are the octets of a recording, and those that stand in it as base64.
func payloads(file []byte) []byte {
	out := bytes.Clone(file)
	for _, s := range strings.FieldsFunc(string(file), func(r rune) bool { return strings.ContainsRune(`"{}[]:,`+"\n", r) }) {
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			out = append(out, b...)
		}
	}
	return out
}
