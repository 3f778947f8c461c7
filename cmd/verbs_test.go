package cmd_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/history"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/jsonschema"
)

// daemon runs ntp-daemon until the script ends; its log is daemon.log.
func daemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: daemon FILE [ARG...]")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	cfg, problems := config.Parse(args[0], data)
	if len(problems) > 0 {
		ts.Fatalf("%v", problems)
	}
	ended := spawn(ts, "daemon.log", "ntp-daemon", append([]string{"-c", args[0]}, args[1:]...))
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for limit := time.Now().Add(patience); ; {
		if _, err = observe.Read(ts.MkAbs(cfg.Observability.ObservationPath), time.Second); err == nil {
			return
		}
		select {
		case <-retry.C:
		case <-ended:
			ts.Fatalf("ntp-daemon ended:\n%s", ts.ReadFile("daemon.log"))
		}
		if time.Now().After(limit) {
			ts.Fatalf("ntp-daemon does not answer (%v):\n%s", err, ts.ReadFile("daemon.log"))
		}
	}
}

// background runs a command until the script ends; its output is in
// COMMAND.log.
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: background COMMAND [ARG...]")
	}
	spawn(ts, args[0]+".log", args[0], args[1:])
}

// spawn runs a command of ours. The channel is closed when it has ended.
func spawn(ts *testscript.TestScript, output, command string, args []string) <-chan struct{} {
	log, err := os.Create(ts.MkAbs(output))
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command(filepath.Join(binaries, command), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), log, log
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
		<-ended
	})
	return ended
}

// get prints what an HTTP server answers, waiting for the server to listen.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: get URL")
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for limit := time.Now().Add(patience); ; <-retry.C {
		resp, err := http.Get(args[0])
		if err != nil {
			if time.Now().After(limit) {
				ts.Fatalf("%v", err)
			}
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if well := resp.StatusCode == http.StatusOK; well == neg {
			ts.Fatalf("%s: %s", args[0], resp.Status)
		}
		_, err = ts.Stdout().Write(body)
		ts.Check(err)
		return
	}
}

// schemas are those that are published.
var schemas = map[string][]byte{"status": observe.StatusSchema, "history": history.DocumentSchema, "clients": observe.ClientsDocument}

// schema checks a document against one of them.
func schema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema NAME FILE")
	}
	known, ok := schemas[args[0]]
	if !ok {
		ts.Fatalf("no schema %s", args[0])
	}
	for _, err := range jsonschema.Check(known, []byte(ts.ReadFile(args[1]))) {
		ts.Fatalf("%s: %v", args[1], err)
	}
}
