package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A second daemon does not take a socket over that still answers: it says so
// and goes without.
func TestObservationSocketIsNotTakenOver(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.toml": fmt.Sprintf("[observability]\nobservation-path = \"run/observe\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp")),
		"b.toml": fmt.Sprintf("[observability]\nobservation-path = \"run/observe\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp")),
	})
	first := start(t, dir, "ntp-daemon", "-c", "a.toml")
	first.await("serving NTP")
	second := start(t, dir, "ntp-daemon", "-c", "b.toml")
	second.await("WARN.*state observer will not be available.*" + dir + "/run/observe.*another daemon answers there")
	second.await("serving NTP")
	out, err := ctl(t, dir, "status", "-c", "a.toml")
	if err != nil || !strings.Contains(out, "SERVER") {
		t.Errorf("the first daemon can no longer be asked: %v\n%s", err, out)
	}
}

// Unset observation-path is the default, and "" switches the socket off.
func TestStatusWithoutADaemonSaysWhatToDo(t *testing.T) {
	dir := folder(t, map[string]string{
		"on.toml":  "[observability]\nobservation-path = \"nowhere/observe\"\n",
		"off.toml": "[observability]\nobservation-path = \"\"\n",
	})
	out, err := ctl(t, dir, "status", "-c", "on.toml")
	if exitCode(err) != 1 || strings.Count(out, "\n") != 1 || !strings.Contains(out, dir+"/nowhere/observe") || !strings.Contains(out, "is ntp-daemon running") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = ctl(t, dir, "status", "-c", "off.toml")
	if exitCode(err) != 1 || !strings.Contains(out, "observation-path") {
		t.Errorf("%v: %s", err, out)
	}
}

// SIGHUP opens the log file anew, appending.
func TestHangupReopensTheLog(t *testing.T) {
	dir := folder(t, map[string]string{
		"d.toml":     fmt.Sprintf("[observability]\nobservation-path = \"\"\nlog-path = \"daemon.log\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp")),
		"daemon.log": "from before\n",
	})
	p := start(t, dir, "ntp-daemon", "-c", "d.toml")
	path := filepath.Join(dir, "daemon.log")
	awaitFile(t, path, "serving NTP")
	if b, _ := os.ReadFile(path); !strings.HasPrefix(string(b), "from before\n") {
		t.Errorf("the log was truncated: %q", b)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	awaitFile(t, path, "")
}

// The keys survive a restart and are the daemon's alone, and a file that holds
// no keys is not written to.
func TestKeyStorage(t *testing.T) {
	conf := func(keys string) string {
		return fmt.Sprintf("[observability]\nobservation-path = \"\"\n[keyset]\nkey-storage-path = %q\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", keys, port(t, "udp"))
	}
	dir := folder(t, map[string]string{"d.toml": conf("keys"), "x.toml": conf("precious"), "precious": "my thesis"})
	for i := range 2 {
		p := start(t, dir, "ntp-daemon", "-c", "d.toml")
		p.await("serving NTP")
		if n := p.count("WARN.*Could not load nts server keys, starting with new set"); n != 1-i {
			t.Errorf("start %d: %d warnings that the keys are new", i, n)
		}
		if n := p.count("WARN.*keys-exposed"); n != i {
			t.Errorf("start %d: %d warnings that others could read the keys", i, n)
		}
		p.stop()
		stored := filepath.Join(dir, "keys")
		if info, err := os.Stat(stored); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("start %d: mode %v, %v", i, info.Mode(), err)
		}
		if err := os.Chmod(stored, 0o640); err != nil { // which the next start undoes
			t.Fatal(err)
		}
	}
	p := start(t, dir, "ntp-daemon", "-c", "x.toml")
	p.await("serving NTP")
	if p.count("WARN.*kept in memory only.*"+dir+"/precious") != 1 {
		t.Errorf("no warning about the file:\n%s", strings.Join(p.lines(), "\n"))
	}
	p.stop()
	if b, _ := os.ReadFile(filepath.Join(dir, "precious")); string(b) != "my thesis" {
		t.Errorf("the file now holds %q", b)
	}
}

// A client says in one line why a certificate will not do.
func TestClientExplainsCertificates(t *testing.T) {
	for _, c := range []struct{ name, chain, key, host, want string }{
		{"self-signed", "self.pem", "self.key", "localhost", "self-signed"},
		{"other name", "end.fullchain.pem", "end.key", "127.0.0.2", "127.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ke := port(t, "tcp")
			dir := folder(t, map[string]string{
				"server.toml": fmt.Sprintf("[observability]\nobservation-path = \"\"\n[[nts-ke-server]]\nlisten = \"0.0.0.0:%s\"\nntp-server = \"127.0.0.1\"\n"+
					"certificate-chain-path = %q\nprivate-key-path = %q\n", ke, filepath.Join(keys, c.chain), filepath.Join(keys, c.key)),
				"client.toml": fmt.Sprintf("[observability]\nobservation-path = \"observe\"\n[[source]]\nmode = \"nts\"\naddress = \"%s:%s\"\n"+
					"certificate-authority = %q\n[synchronization]\nupdate-system-clock = false\n", c.host, ke, filepath.Join(keys, "testca.pem")),
			})
			start(t, dir, "ntp-daemon", "-c", "server.toml").await("listening for NTS key exchange")
			client := start(t, dir, "ntp-daemon", "-c", "client.toml")
			client.await("WARN.*" + c.want)
		})
	}
}

// Addresses of bridges that do not exist yet are waited for, each said once,
// while the others serve.
func TestAnAddressThatAppearsLateIsServed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace; continuous integration has it")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip to make a bridge in a namespace; continuous integration has it")
	}
	dir := folder(t, map[string]string{"ntp.toml": lateBridge})
	p := startRaw(t, dir, "unshare", "-n", "sh", "-c", `ip link set lo up
ntp-daemon -c ntp.toml --no-clock & daemon=$!
trap 'kill $daemon; wait $daemon' TERM
trap 'ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up; echo bridge is up' USR1
while kill -0 $daemon; do wait $daemon; done`)
	p.await(`serving NTP.*listen=127\.0\.0\.1:123`)
	p.await(`serving NTP.*listen=\[::1\]:123`)
	for _, a := range []string{"172.17.0.1", "192.168.121.1", "10.167.131.1"} {
		p.await("WARN.*" + a + ".*waiting for it")
	}
	p.signal(syscall.SIGUSR1)
	p.await("bridge is up")
	p.await(`serving NTP.*listen=172\.17\.0\.1:123`)
	if n := p.count("waiting for it"); n != 3 {
		t.Errorf("%d lines about missing addresses instead of 3:\n%s", n, strings.Join(p.lines(), "\n"))
	}
}

const lateBridge = `
[observability]
log-level = "info"
observation-path = "observe"

[[source]]
mode = "nts"
address = "nts1.test"

[[source]]
mode = "nts"
address = "nts2.test"

[[source]]
mode = "nts"
address = "nts3.test"

[synchronization]
single-step-panic-threshold = 1800
startup-step-panic-threshold = { forward="inf", backward = 1800 }
minimum-agreeing-sources = 3
accumulated-step-panic-threshold = 1800

[[server]]
listen = "127.0.0.1:123"

[[server]]
listen = "172.17.0.1:123"

[[server]]
listen = "192.168.121.1:123"

[[server]]
listen = "10.167.131.1:123"

[[server]]
listen = "[::1]:123"
`
