package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/recording"
)

// disk is a file that takes so many octets, and no more.
type disk struct {
	mu     sync.Mutex
	got    []byte
	room   int
	closed bool
	gate   chan struct{} // when not nil, a write waits for it
}

func (d *disk) Write(b []byte) (int, error) {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(b), d.room)
	d.got, d.room = append(d.got, b[:n]...), d.room-n
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) Truncate(size int64) error { d.got = d.got[:size]; return nil }
func (d *disk) Close() error              { d.closed = true; return nil }

// tapeOn is a tape that writes to a file of ours, and its log.
func tapeOn(f tapeFile, limit int64) (*tape, *bytes.Buffer) {
	var log bytes.Buffer
	t := roll(&tape{
		recorder: recording.NewRecorder([32]byte{1}), toml: "", file: f, name: "run.rec", limit: limit,
		log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	t.begin(proto.Now{Mono: 1, Wall: 2}, engine.State{})
	return t, &log
}

// steps records many calls of an engine.
func steps(t *tape, n int) {
	for i := range n {
		t.step(proto.Now{Mono: proto.Instant(i)}, engine.Commanded{Verb: "x"}, []engine.Action{engine.Abandon{Exchange: 3}})
	}
}

// whole counts the steps of a recording and says how it ends.
func whole(t *testing.T, file []byte) (n int, end string) {
	t.Helper()
	in, _, err := recording.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := in.Next()
		switch {
		case err != nil && err.Error() == "EOF":
			return n, end
		case err != nil:
			t.Fatal(err)
		case s.End != "":
			end = s.End
		default:
			n++
		}
	}
}

func TestATapeHoldsTheRun(t *testing.T) {
	d := &disk{room: 1 << 20}
	tape, log := tapeOn(d, maxTape)
	steps(tape, 500)
	tape.close()
	if n, end := whole(t, d.got); n != 500 || end != "the daemon ended" || !d.closed || log.Len() > 0 {
		t.Errorf("%d steps, end %q, closed %v, log %s", n, end, d.closed, log)
	}
}

// A full disk ends the recording with one warning; what was written is whole,
// and whoever steps the engine is never held up.
func TestAFullDiskEndsTheRecordingOnly(t *testing.T) {
	d := &disk{room: 5000}
	tape, log := tapeOn(d, maxTape)
	steps(tape, 900)
	tape.close()
	n, end := whole(t, d.got)
	if n < 10 || n > 100 || end != "" || !d.closed {
		t.Errorf("%d steps, end %q, closed %v", n, end, d.closed)
	}
	if strings.Count(log.String(), "the recording has ended") != 1 || !strings.Contains(log.String(), "no space left") || !strings.Contains(log.String(), "run.rec") {
		t.Errorf("log: %s", log)
	}
}

// A recording ends at its limit, and says so.
func TestARecordingIsBounded(t *testing.T) {
	d := &disk{room: 1 << 20}
	tape, log := tapeOn(d, 20<<10)
	steps(tape, 900)
	tape.close()
	n, end := whole(t, d.got)
	if n < 100 || len(d.got) > 21<<10 || !strings.Contains(end, "limit") {
		t.Errorf("%d steps, %d octets, end %q", n, len(d.got), end)
	}
	if strings.Count(log.String(), "the recording has ended") != 1 {
		t.Errorf("log: %s", log)
	}
}

// A disk that hangs holds nobody up: the queue is bounded, and when it is full
// the recording ends.
func TestADiskThatHangsHoldsNobodyUp(t *testing.T) {
	d := &disk{room: 1 << 30, gate: make(chan struct{})}
	tape, log := tapeOn(d, maxTape)
	steps(tape, 2*tapeQueue)
	if !tape.over || strings.Count(log.String(), "cannot keep up") != 1 {
		t.Errorf("over %v, log %s", tape.over, log)
	}
	close(d.gate)
	tape.close()
	if n, _ := whole(t, d.got); n < tapeQueue-2 || n > tapeQueue+2 {
		t.Errorf("%d steps", n)
	}
}

// Without a tape nothing happens, and nothing is allocated.
func TestNoRecordingCostsNothing(t *testing.T) {
	var none *tape
	ev, now := engine.Event(engine.Commanded{}), proto.Now{}
	none.begin(now, engine.State{})
	if n := testing.AllocsPerRun(100, func() { none.step(now, ev, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	none.close()
	if r := strings.NewReader("x"); none.entropy(r) != r {
		t.Error("randomness is drawn through it")
	}
}

func TestATapeIsANewFileForItsOwner(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "run.rec")
	text := []byte("[[source]]\nmode = \"server\"\naddress = \"a.test\"\n[observability]\nlog-path = \"/secret\"\n")
	cfg, problems := config.Parse("ntp.toml", text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tape, err := newTape(name, text, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tape.begin(proto.Now{}, engine.State{})
	tape.close()
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	before, err := os.ReadFile(name)
	if err != nil || strings.Contains(string(before), "/secret") || !strings.Contains(string(before), "a.test") {
		t.Errorf("%v, %s", err, before)
	}
	for what, path := range map[string]string{"a file": name, "a link": link(t, name), "a dangling link": link(t, filepath.Join(dir, "nothing"))} {
		_, err := newTape(path, text, cfg, slog.New(slog.DiscardHandler))
		if err == nil || cli.Code(err) != cli.Usage || !strings.Contains(err.Error(), path+" exists and is not overwritten") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%v: the file was changed", err)
	}
	if _, err := newTape(filepath.Join(dir, "no", "run.rec"), text, cfg, slog.New(slog.DiscardHandler)); err == nil || cli.Code(err) != cli.Software || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	// Of another file than the daemon runs with nothing is recorded.
	other := []byte("[[source]]\nmode = \"server\"\naddress = \"b.test\"\n")
	if _, err := newTape(filepath.Join(dir, "other.rec"), other, cfg, slog.New(slog.DiscardHandler)); err == nil || cli.Code(err) != cli.Config {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "other.rec")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was left behind")
	}
}

func link(t *testing.T, to string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
	return name
}
