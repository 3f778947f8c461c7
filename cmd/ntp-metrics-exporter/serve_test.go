package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// start runs an exporter, and the daemon that it asks when there is to be one.
func start(t *testing.T, withDaemon bool) (address string, log *bytes.Buffer) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "observe")
	ctx, cancel := context.WithCancel(context.Background())
	var ended []chan error
	run := func(f func() error) {
		done := make(chan error, 1)
		ended = append(ended, done)
		go func() { done <- f() }()
	}
	if withDaemon {
		l, err := observe.Listen(socket, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		run(func() error {
			return observe.Serve(ctx, l, func() observe.State { return observe.State{System: observe.System{Stratum: 3}} })
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &bytes.Buffer{}
	e := &exporter{socket: socket, log: slog.New(slog.DiscardHandler), strange: slog.New(slog.NewTextHandler(log, nil))}
	run(func() error { return e.serve(ctx, l) })
	t.Cleanup(func() {
		cancel()
		for _, done := range ended {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return l.Addr().String(), log
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// ntpd-rs serves its metrics at every path.
func TestEveryPathHasTheMetrics(t *testing.T) {
	addr, _ := start(t, true)
	for _, path := range []string{"/metrics", "/", "/any/thing?x=1"} {
		resp, body := get(t, "http://"+addr+path)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentType || !strings.Contains(body, "\nntp_system_stratum 3\n") || !strings.HasSuffix(body, "# EOF\n") {
			t.Errorf("%s: %s %v\n%s", path, resp.Status, resp.Header, body)
		}
	}
}

func TestADaemonThatIsGoneIsAFailedScrape(t *testing.T) {
	addr, log := start(t, false)
	resp, body := get(t, "http://"+addr+"/metrics")
	if resp.StatusCode != 500 || !strings.Contains(body, "could not reach the daemon") || strings.Contains(body, "ntp_") {
		t.Errorf("%s\n%s", resp.Status, body)
	}
	if !strings.Contains(log.String(), "could not be asked") {
		t.Errorf("logged: %s", log.String())
	}
}

func TestOnlyGetIsServed(t *testing.T) {
	addr, _ := start(t, true)
	resp, err := http.Post("http://"+addr+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}

// A long header is refused, and a connection answers once.
func TestClientsAreBounded(t *testing.T) {
	addr, _ := start(t, true)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", resp, err)
	}
	resp, _ = get(t, "http://"+addr+"/")
	if !resp.Close {
		t.Error("the connection stays open")
	}
}

// Those who connect and say nothing go after a while, and leave room.
func TestSilentClientsLeaveRoom(t *testing.T) {
	addr, _ := start(t, true)
	for range maxConnections + 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if resp, _ := get(t, "http://"+addr+"/"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

func TestASlotIsGivenBackOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one := &limited{Listener: l, slots: make(chan struct{}, 2)}
	for range 3 {
		go func() {
			if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
				defer c.Close()
			}
		}()
		c, err := one.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if len(one.slots) != 1 {
			t.Errorf("%d slots taken", len(one.slots))
		}
		c.Close()
		c.Close()
		if len(one.slots) != 0 {
			t.Errorf("%d slots taken after the end", len(one.slots))
		}
	}
}

// A port that is taken is an error at once.
func TestAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := &exporter{listen: netip.MustParseAddrPort(l.Addr().String()), log: slog.New(slog.DiscardHandler)}
	if err := e.run(t.Context()); err == nil || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("got %v", err)
	}
}

// An address that this machine does not have is waited for until the end.
func TestAnAddressThatIsNotThereIsWaitedFor(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	e := &exporter{listen: netip.MustParseAddrPort("192.0.2.1:9975"), log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := e.run(ctx); err != nil || strings.Count(log.String(), "waiting for it") != 1 {
		t.Errorf("%v, logged %s", err, log.String())
	}
}
