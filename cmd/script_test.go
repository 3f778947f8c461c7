// Package cmd_test runs the commands as a person would: each script under
// testdata/script types commands and says what must come of them.
package cmd_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binaries is the folder that TestMain builds the commands into, and keys the
// one that it makes certificates in.
var binaries, keys string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ntpd-go-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir+"/", "./ntp-daemon", "./nts-pool-ke", "./ntp-ctl", "./ntp-metrics-exporter")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the commands: %v\n%s", err, out)
		return 1
	}
	binaries, keys = dir, filepath.Join(dir, "keys")
	if err := makeKeys(keys); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// makeKeys makes certificates, and some that will not do.
func makeKeys(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	script, err := filepath.Abs("../test-keys/gen-cert.sh")
	if err != nil {
		return err
	}
	for _, command := range []string{
		script + " end",
		script + " other",
		"openssl pkcs8 -topk8 -in end.key -passout pass:secret -out encrypted.key",
		"openssl req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -days 3 -subj /CN=localhost -addext subjectAltName=DNS:localhost",
	} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", command, err, out)
		}
	}
	return nil
}

// TestScripts runs every script. Beside testscript's own verbs there are
//
//	code N command...    the command must exit with N
//	oneline FILE         the file has exactly one line
//	subst FILE...        put environment variables into files
//	daemon FILE [ARG...] run ntp-daemon with a configuration until the script
//	                     ends, and wait until its observation socket answers
//	background COMMAND [ARG...] run a command until the script ends
//	get URL              print what a server answers; it must be well
//	schema NAME FILE     the file is JSON as the published schema describes it
//	holdtcp ADDRESS      keep a TCP port busy; holdudp likewise for UDP
//
// $UDP, $TCP and $TCP2 are ports that are free at the start of a script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    code,
			"oneline": oneline,
			"holdtcp": holdTCP,
			"holdudp": holdUDP,
			"subst":   subst,
			"daemon":  daemon,
			"schema":  schema,
			"get":     get,

			"background": background,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "configured":
				_, err := os.Stat("/etc/ntpd-rs/ntp.toml")
				return err == nil, nil
			default:
				return false, fmt.Errorf("unknown condition %q", name)
			}
		},
	})
}

func setup(e *testscript.Env) error {
	e.Setenv("PATH", binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, network := range map[string]string{"UDP": "udp", "TCP": "tcp", "TCP2": "tcp"} {
		port, err := freePort(network)
		if err != nil {
			return err
		}
		e.Setenv(name, port)
	}
	return certificates(e.WorkDir)
}

// certificates puts what gen-cert.sh makes into a folder, for "end" and for
// "other", and files that cannot be used.
func certificates(dir string) error {
	for name, text := range map[string]string{"garbage.pem": "not a certificate\n", "empty.pem": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.CopyFS(dir, os.DirFS(keys))
}

func freePort(network string) (string, error) {
	for range 100 {
		port := fmt.Sprint(firstPort + rand.IntN(ports))
		var c io.Closer
		var err error
		if network == "udp" {
			c, err = net.ListenPacket("udp", "127.0.0.1:"+port)
		} else {
			c, err = net.Listen("tcp", "127.0.0.1:"+port)
		}
		if err == nil {
			return port, c.Close()
		}
	}
	return "", errors.New("no port is free")
}

// Ports for tests, below those that systems give to whoever connects: one of
// these may be taken between being found free and being used.
const (
	firstPort = 15000
	ports     = 15000
)

// code runs a command that must exit with a certain code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [arg...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := exitCode(err); fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d instead of %s (%v)", got, args[0], err)
	}
}

// oneline fails unless what was printed is exactly one line.
func oneline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oneline stdout|stderr|FILE")
	}
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s has %d lines:\n%s", args[0], strings.Count(text, "\n"), text)
	}
}

// holdTCP and holdUDP keep a port busy until the script ends.
func holdTCP(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

func holdUDP(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.ListenPacket("udp", args[0])
	ts.Check(err)
	ts.Defer(func() { c.Close() })
}

// subst replaces $NAME in files by environment variables.
func subst(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
