package logging

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testlog"
)

func TestAFileIsAppendedToAndReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("from before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Info("two")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Info("three")
	if err := l.Reopen(); err != nil { // the same file: nothing is lost
		t.Fatal(err)
	}
	l.Info("four")
	old, _ := os.ReadFile(path + ".1")
	fresh, _ := os.ReadFile(path)
	if got := messages(string(old)); got != "from before one two" {
		t.Errorf("the old file: %q", got)
	}
	if got := messages(string(fresh)); got != "three four" {
		t.Errorf("the new file: %q", got)
	}
	if !strings.Contains(string(fresh), "time=") || strings.Contains(string(fresh), "\x1b") {
		t.Errorf("a file has timestamps and no colours: %q", fresh)
	}
}

func TestOpenSaysWhyNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "log")
	_, err := Open(Options{Path: path})
	if want := "log file " + path + ": no such file or directory (make its directory writable, or choose another log-path)"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestALogIsNotForEveryone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	file := l.sink.w
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(nil); err == nil {
		t.Error("the old file is still open")
	}
	file = l.sink.w
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(nil); err == nil {
		t.Error("the log is still open")
	}
}

func TestAStreamStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := Open(Options{Output: f})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Info("one")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Info("two")
	if b, _ := os.ReadFile(path); messages(string(b)) != "one two" {
		t.Errorf("the stream holds %q", b)
	}
	if l, err := Open(Options{}); err != nil || l.sink.w != os.Stdout {
		t.Errorf("logs to %v, %v", l.sink.w, err)
	}
}

// messages are the msg values of a text log, or whole lines without one.
func messages(log string) string {
	var out []string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if _, m, ok := strings.Cut(line, "msg="); ok {
			line = m
		}
		out = append(out, line)
	}
	return strings.Join(out, " ")
}

func TestAFailedReopenKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	l, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	l.Info("kept")
	if b, _ := os.ReadFile(filepath.Join(dir+"2", "log")); messages(string(b)) != "kept" {
		t.Errorf("the old file holds %q", b)
	}
}

func TestTheJournalHasTimesAndLevels(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(handler(&b, Options{Journal: true, Level: slog.LevelDebug}, false)).With("a", 1).WithGroup("g")
	l.Log(t.Context(), LevelTrace, "t")
	l.Debug("d", "k", "v")
	l.Info("i", "time", "mine", "level", "mine")
	l.Warn("w")
	l.Error("two\nlines")
	want := `<7>msg=d a=1 g.k=v
<6>msg=i a=1 g.time=mine g.level=mine
<4>msg=w a=1
<3>msg="two\nlines" a=1
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	slog.New(handler(&b, Options{Journal: true, Path: "x"}, false)).Info("x")
	if !strings.Contains(b.String(), "time=") || strings.Contains(b.String(), "<6>") {
		t.Errorf("a file is not the journal: %q", b.String())
	}
}

func TestColoursFollowTheTerminalUnlessSet(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		terminal bool
		set      *bool
		want     bool
	}{{true, nil, true}, {false, nil, false}, {true, &no, false}, {false, &yes, true}} {
		var b bytes.Buffer
		slog.New(handler(&b, Options{Colours: c.set}, c.terminal)).Warn("x")
		if got := strings.Contains(b.String(), "\x1b["); got != c.want {
			t.Errorf("terminal %v, set %v: %q", c.terminal, c.set != nil, b.String())
		}
	}
}

func TestLevels(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(handler(&b, Options{Level: LevelTrace}, false))
	l.Log(t.Context(), LevelTrace, "deep")
	if !strings.Contains(b.String(), "level=TRACE") {
		t.Errorf("got %q", b.String())
	}
	b.Reset()
	l.Info("x", "level", LevelTrace, "n", 1)
	l.WithGroup("g").Info("y", "level", LevelTrace)
	if strings.Contains(b.String(), "g.level=TRACE") {
		t.Errorf("someone's own level: %q", b.String())
	}
	for name, want := range map[string]slog.Level{"trace": LevelTrace, "DEBUG": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), `"loud": use trace`) {
		t.Errorf("got %v", err)
	}
}

func TestStrangersGetTenLinesAMinuteAndACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b testlog.Buffer
		l := Limit(slog.New(handler(&b, Options{Journal: true}, false)))
		for i := range 25 {
			l.Info("knock", "n", i)
		}
		l.Info("other")
		synctest.Wait()
		if got := strings.Count(b.String(), "msg=knock"); got != Burst {
			t.Errorf("%d lines at once instead of %d", got, Burst)
		}
		if !strings.Contains(b.String(), "msg=other") {
			t.Error("another message was held back")
		}
		time.Sleep(Window)
		synctest.Wait()
		if want := `knock (and 15 more like it in the last minute)`; strings.Count(b.String(), want) != 1 {
			t.Errorf("no summary: %s", b.String())
		}
		b.Reset()
		l.Info("knock")
		if !strings.Contains(b.String(), "msg=knock\n") {
			t.Errorf("the next window is closed: %q", b.String())
		}
		time.Sleep(2 * Window)
		synctest.Wait()
		if strings.Contains(b.String(), "more like it") {
			t.Errorf("a summary of nothing: %q", b.String())
		}
	})
}
