package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// start serves on a socket; each request reaches handle.
func start(t *testing.T, handle Handler) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, slog.New(slog.DiscardHandler), handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func echo(_ context.Context, r Request) Answer {
	if r.Verb == "no" {
		return Refused("because", "and because")
	}
	return Did("did " + string(r.Verb)).With(map[string]string{"source": r.Source})
}

func TestARequestIsAnswered(t *testing.T) {
	path := start(t, echo)
	a, err := Do(path, Request{Verb: SourceRemove, Source: "a.test"}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Done || a.Text[0] != "did source-remove" || string(a.Data) != `{"source":"a.test"}` {
		t.Errorf("got %+v", a)
	}
	_, err = Do(path, Request{Verb: "no"}, 5*time.Second)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "refused: because\n") || !strings.Contains(err.Error(), "and because") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheOwnerReachesTheSocket(t *testing.T) {
	path := start(t, echo)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
}

func TestErrorsNameThePathAndTheRemedy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere")
	_, err := Do(path, Request{Verb: Reload}, time.Second)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is ntp-daemon running, with this control-path?") {
		t.Errorf("got %v", err)
	}
}

// raw sends octets and returns the answer.
func raw(t *testing.T, path string, in []byte) Answer {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		c.Write(in)
		c.(*net.UnixConn).CloseWrite()
	}()
	out, err := io.ReadAll(c)
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	var a Answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return a
}

func TestRequestsAreBoundedAndChecked(t *testing.T) {
	var calls atomic.Int32
	path := start(t, func(ctx context.Context, r Request) Answer { calls.Add(1); return echo(ctx, r) })
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "not a whole line"},
		{"no end", `{"schema":1,"verb":"reload"}`, "not a whole line"},
		{"no JSON", "reload\n", "not understood"},
		{"another version", `{"schema":2,"verb":"reload"}` + "\n", "version 2 and the daemon speaks 1"},
		{"no version", `{"verb":"reload"}` + "\n", "version 0"},
		{"too long", `{"schema":1,"verb":"` + strings.Repeat("x", MaxRequest) + "\"}\n", "longer than"},
	} {
		a := raw(t, path, []byte(c.in))
		if a.Done || len(a.Text) != 1 || !strings.Contains(a.Text[0], c.want) {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d of them were carried out", n)
	}
	long := `{"schema":1,"verb":"reload","source":"` + strings.Repeat("x", MaxRequest-50) + "\"}\n"
	if a := raw(t, path, []byte(long)); !a.Done {
		t.Errorf("a request of %d octets: %+v", len(long), a)
	}
}

// Clients that say nothing hold places for a while; others wait their turn and
// are served.
func TestSilentClientsDoNotBlockForEver(t *testing.T) {
	path := start(t, echo)
	for range 2 * maxConnections {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := Do(path, Request{Verb: Reload}, 30*time.Second); err != nil {
		t.Error(err)
	}
}

// A handler that waits for the daemon's loop ends when its time is over.
func TestAHandlerIsToldWhenItsTimeIsOver(t *testing.T) {
	deadline := make(chan bool, 1)
	path := start(t, func(ctx context.Context, _ Request) Answer {
		_, bounded := ctx.Deadline()
		deadline <- bounded
		return Did()
	})
	if _, err := Do(path, Request{Verb: Reload}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if !<-deadline {
		t.Error("the handler may wait for ever")
	}
}

func TestWhoMayCommand(t *testing.T) {
	for _, c := range []struct {
		user, us int
		want     bool
	}{{0, 0, true}, {0, 123, true}, {123, 123, true}, {124, 123, false}, {1000, 0, false}} {
		if got := allowed(c.user, c.us); got != c.want {
			t.Errorf("user %d, daemon of %d: %v", c.user, c.us, got)
		}
	}
}

func TestOddAnswers(t *testing.T) {
	for _, in := range []string{"", "{", "[]\n", "text\n"} {
		if _, err := exchange(&half{in: strings.NewReader(in)}, Request{}); err == nil {
			t.Errorf("%q was taken for an answer", in)
		}
	}
	if _, err := exchange(&half{}, Request{Source: strings.Repeat("x", MaxRequest)}); err == nil {
		t.Error("a request that is too long was sent")
	}
}

// half reads from one place and writes to another.
type half struct {
	in  *strings.Reader
	out bytes.Buffer
}

func (h *half) Read(b []byte) (int, error)  { return h.in.Read(b) }
func (h *half) Write(b []byte) (int, error) { return h.out.Write(b) }

func TestAnswersWithoutReasons(t *testing.T) {
	if err := refusal(nil); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if a := Did().With(func() {}); a.Done {
		t.Error("data that cannot be written was answered")
	}
}
