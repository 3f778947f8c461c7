package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ntpd-go/ntpd-go/daemon/config"
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
	log, err := os.Create(ts.MkAbs("daemon.log"))
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command(filepath.Join(binaries, "ntp-daemon"), append([]string{"-c", args[0]}, args[1:]...)...)
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

// schemas are those that are published.
var schemas = map[string][]byte{"status": observe.StatusSchema}

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
