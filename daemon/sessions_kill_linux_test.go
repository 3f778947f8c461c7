package daemon

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// traveller is set in the environment of a test binary that only lives through
// days of a client in no time: to the directory and the number of its start.
const traveller = "DAEMON_TEST_TRAVELLER"

// travel is a client with NTS whose servers are in the same process. Its time
// jumps from one thing that happens to the next.
type travel struct {
	t      *testing.T
	engine *engine.Engine
	keep   *sessions
	mono   proto.Instant
	wall   proto.Timestamp // at mono 0
	queue  []engine.Event  // all that happens at once
	keys   *cookie.Keyset
	answer *server.Responder
	wire   *os.File // what was sent, a line each
}

func (v *travel) now() proto.Now {
	return proto.Now{Mono: v.mono, Wall: v.wall.Add(proto.FromStd(time.Duration(v.mono)))}
}

func (v *travel) note(format string, args ...any) {
	if _, err := fmt.Fprintf(v.wire, format, args...); err != nil {
		v.t.Fatal(err)
	}
}

// until lives until a moment.
func (v *travel) until(end proto.Instant) {
	for v.mono < end {
		for len(v.queue) > 0 {
			ev := v.queue[0]
			v.queue = v.queue[1:]
			v.perform(v.engine.Handle(v.now(), ev, nil))
		}
		v.mono = max(v.mono, min(v.engine.Deadline(), end))
		v.perform(v.engine.Advance(v.now(), nil))
	}
}

func (v *travel) perform(actions []engine.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case engine.Send:
			v.send(a)
		case engine.Keep:
			v.keep.keep(a.Sessions)
		case engine.ExchangeKeys:
			v.note("exchange\n")
			v.queue = append(v.queue, v.establish(a))
		case engine.Steer:
			v.queue = append(v.queue, engine.SteerApplied{Steer: a.ID, Applied: kalman.Applied{At: v.now().Wall, Mono: v.mono, Adjustment: a.Adjustment}})
		case engine.Halt:
			v.t.Fatal(a.Reason)
		}
	}
}

// send notes the cookie of a request, for good, before anybody can see it.
func (v *travel) send(a engine.Send) {
	p, err := proto.ParsePacket(a.Payload)
	if err != nil {
		v.t.Fatal(err)
	}
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			v.note("sent %x\n", f.Value)
		}
	}
	now := v.now().Wall
	stamp := proto.Stamp{At: now, Source: proto.StampKernel}
	reply, _ := v.answer.Respond(nil, server.Request{Payload: a.Payload, From: netip.MustParseAddrPort("198.51.100.1:4000"), To: a.To.Addr(), Rx: stamp, Mono: v.mono},
		&server.TimeSnapshot{Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, ValidUntil: proto.Never}, v.keys, func() proto.Timestamp { return now })
	v.queue = append(v.queue, engine.Sent{Exchange: a.Exchange, Stamp: stamp}, engine.Received{Exchange: a.Exchange, From: a.To, Payload: reply, Stamp: stamp})
}

func (v *travel) establish(a engine.ExchangeKeys) engine.Event {
	server := "192.0.2.9"
	for n := 1; a.Host != "one.example" && (n == 1 || slices.Contains(a.Deny, server)); n++ {
		server = fmt.Sprintf("192.0.2.%d", n)
	}
	c := cookie.Contents{Algorithm: aead.AESSIVCMAC256, C2S: make([]byte, 32), S2C: make([]byte, 32)}
	for _, key := range [][]byte{c.C2S, c.S2C} {
		if _, err := rand.Read(key); err != nil {
			v.t.Fatal(err)
		}
	}
	ev := engine.KeysEstablished{
		Request: a.Request, Server: server, Port: 123, Algorithm: c.Algorithm, C2S: c.C2S, S2C: c.S2C,
		Trust: "system", NotAfter: time.Unix(2_000_000_000, 0),
	}
	for range cookie.JarSize {
		nonce := make([]byte, cookie.NonceLen)
		if _, err := rand.Read(nonce); err != nil {
			v.t.Fatal(err)
		}
		sealed, err := v.keys.Seal(nil, c, nonce)
		if err != nil {
			v.t.Fatal(err)
		}
		ev.Cookies = append(ev.Cookies, sealed)
	}
	return ev
}

// live is one start: it takes what was kept, and lives for most of a day, as
// fast as it can; every other one ends properly if it is not killed before.
func live(t *testing.T, dir string, start int) {
	wire, err := os.OpenFile(filepath.Join(dir, "wire"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := cookie.NewKeyset(mathrand.NewChaCha8([32]byte{7}))
	if err != nil {
		t.Fatal(err)
	}
	threshold := kalman.Threshold{Forward: proto.MaxDuration, Backward: proto.MaxDuration}
	source := func(mode engine.Mode, host string, count int) engine.Source {
		return engine.Source{Name: host, Mode: mode, Host: host, Port: 4460, Count: count, PollMin: 6, PollMax: 10, PollStart: 6}
	}
	v := &travel{
		t: t, wire: wire, keys: keys, wall: proto.FromUnix(1_790_000_000+int64(start)*86_400, 0),
		answer: server.New(server.Config{Versions: server.Version3And4}, rand.Reader),
		keep:   &sessions{path: filepath.Join(dir, "state", "nts.json"), log: slog.New(slog.NewTextHandler(os.Stderr, nil)), trust: func(string) string { return "system" }},
	}
	v.engine = engine.New(engine.Config{
		Sources:      []engine.Source{source(engine.ModeNTS, "one.example", 1), source(engine.ModeNTSPool, "pool.example", 2)},
		LocalStratum: proto.MaxStratum, Steering: true, KeepSessions: true,
		Discipline: kalman.Config{MinimumAgreeing: 1, LocalStratum: proto.MaxStratum, SingleStep: threshold, StartupStep: threshold},
	}, engine.State{}, rand.Reader, v.now())
	v.note("\nstart\n") // a kill may have torn the line before
	if all := v.keep.claim(); len(all) > 0 {
		v.queue = append(v.queue, engine.Restored{Sessions: all})
	}
	v.until(proto.Instant(20 * time.Hour))
	if start%2 == 0 {
		v.perform(v.engine.Handle(v.now(), engine.Ending{}, nil))
	}
	v.note("over\n")
	for { // until it is killed; the runtime ends who waits for nothing
		time.Sleep(time.Minute)
	}
}

// TestSIGKILLReusesNoCookie kills a client with NTS at random instants, over
// and over: no cookie is ever sent twice, and most starts need no key exchange.
func TestSIGKILLReusesNoCookie(t *testing.T) {
	if dir := os.Getenv(traveller); dir != "" {
		start, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		live(t, filepath.Dir(dir), start)
	}
	dir := t.TempDir()
	const kills = 40
	for kill := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), traveller+"="+filepath.Join(dir, strconv.Itoa(kill)))
		var complaints bytes.Buffer
		cmd.Stdout, cmd.Stderr = &complaints, &complaints
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Kill it after so many lines, a few only when it is over.
		lines := mathrand.IntN(60)
		if kill%8 == 0 {
			lines = 1 << 30
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			b, err := os.ReadFile(filepath.Join(dir, "wire"))
			if err != nil || bytes.Count(b, []byte("start\n")) <= kill {
				continue
			}
			if b = b[bytes.LastIndex(b, []byte("start\n")):]; bytes.Count(b, []byte("\n")) > lines || bytes.Contains(b, []byte("over\n")) {
				break
			}
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if complaints.Len() > 0 {
			t.Fatalf("start %d: %s", kill, complaints.String())
		}
	}
	wire, err := os.Open(filepath.Join(dir, "wire"))
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	var starts [][]string
	sent := map[string]int{}
	for s := bufio.NewScanner(wire); s.Scan(); {
		line := s.Text()
		switch line {
		case "":
			continue
		case "start":
			starts = append(starts, nil)
			continue
		}
		n := len(starts) - 1
		if before, again := sent[line]; again && line != "exchange" && line != "over" {
			t.Fatalf("start %d sends a cookie that start %d sent", n, before)
		}
		sent[line] = n
		starts[n] = append(starts[n], line)
	}
	resumed := 0
	for _, lines := range starts {
		if len(lines) > 0 && !slices.Contains(lines, "exchange") {
			resumed++
		}
	}
	if len(starts) != kills || resumed < kills/4 {
		t.Errorf("%d starts, of which %d needed no key exchange", len(starts), resumed)
	}
	t.Logf("%d starts, %d without a key exchange, %d cookies", len(starts), resumed, len(sent))
}
