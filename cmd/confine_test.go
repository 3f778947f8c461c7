package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// statusOf is a field of /proc/PID/status for each thread of a process.
func (p *process) statusOf(field string) []string {
	p.t.Helper()
	return threadsOf(p.t, p.cmd.Process.Pid, field)
}

// threadsOf is a field of /proc/PID/status for each thread.
func threadsOf(t *testing.T, pid int, field string) []string {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Skipf("no /proc here: %v", err)
	}
	var all []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if m := regexp.MustCompile(`(?m)^` + field + `:\s*(\S+)$`).FindSubmatch(data); m != nil {
			all = append(all, string(m[1]))
		}
	}
	return all
}

// A daemon that steers no system clock and binds no privileged port needs no
// privilege at all once it has begun, even if root starts it; and goes on to
// do all that it has to do with files.
func TestADaemonGivesUpItsPrivileges(t *testing.T) {
	conf := fmt.Sprintf("[observability]\nobservation-path = \"run/observe\"\nlog-path = \"log/daemon.log\"\n[keyset]\nkey-storage-path = \"keys\"\n"+
		"key-rotation-interval = 1\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp"))
	dir := folder(t, map[string]string{"d.toml": conf})
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	// What is no directory, or not there, is no reason to keep anything.
	t.Setenv("SSL_CERT_DIR", "/etc/ssl/certs:/etc/hostname:/etc/hostname/below:/nowhere")
	p := start(t, dir, "ntp-daemon", "-c", "d.toml")
	path := filepath.Join(dir, "log", "daemon.log")
	awaitFile(t, path, "capabilities=none")
	awaitFile(t, path, "serving NTP")
	for field, want := range map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "NoNewPrivs": "1"} {
		for _, got := range p.statusOf(field) {
			if got != want {
				t.Errorf("%s is %s in a thread, want %s", field, got, want)
			}
		}
	}
	// It writes its keys anew …
	keys := filepath.Join(dir, "keys")
	before, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if now, err := os.ReadFile(keys); err == nil && string(now) != string(before) {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the keys are not renewed")
		}
	}
	// … opens its log anew …
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	awaitFile(t, path, "")
	// … answers on its socket, and removes it at the end.
	if out, err := ctl(t, dir, "status", "-c", "d.toml"); err != nil || !strings.Contains(out, "SERVER") {
		t.Errorf("%v\n%s", err, out)
	}
	p.stop()
	if text, err := os.ReadFile(path + ".1"); err != nil || strings.Contains(string(text), "permission denied") {
		t.Errorf("%v\n%s", err, text)
	}
}

// Ports that may have to be bound again need their capability.
func TestADaemonKeepsWhatItNeeds(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace; continuous integration has it")
	}
	const text = "[observability]\nobservation-path = \"\"\n[[server]]\nlisten = \"127.0.0.1:123\"\n"
	dir := folder(t, map[string]string{"d.toml": text})
	p := startRaw(t, dir, "unshare", "-n", "sh", "-c", "ip link set lo up; exec ntp-daemon -c d.toml")
	p.await(`gave up privileges.*capabilities=CAP_NET_BIND_SERVICE`)
	for _, got := range p.statusOf("CapEff") {
		if got != "0000000000000400" {
			t.Errorf("CapEff is %s in a thread", got)
		}
	}
	all := startRaw(t, dir, "unshare", "-n", "sh", "-c", "ip link set lo up; exec ntp-daemon -c d.toml --keep-privileges")
	all.await("serving NTP")
	for _, got := range all.statusOf("NoNewPrivs") {
		if got != "0" {
			t.Errorf("NoNewPrivs is %s in a thread", got)
		}
	}
	if all.count("gave up privileges") != 0 {
		t.Error("says that it gave up privileges")
	}
}

// A reload that needs what was given up says that it needs a restart, and
// changes nothing.
func TestAReloadBeyondWhatIsLeft(t *testing.T) {
	elsewhere := t.TempDir()
	ke := port(t, "tcp")
	conf := func(chain, key string) string {
		return fmt.Sprintf("[observability]\nobservation-path = \"\"\n[[nts-ke-server]]\nlisten = \"127.0.0.1:%s\"\nntp-server = \"127.0.0.1\"\n"+
			"certificate-chain-path = %q\nprivate-key-path = %q\n", ke, chain, key)
	}
	chain, key := filepath.Join(keys, "end.fullchain.pem"), filepath.Join(keys, "end.key")
	dir := folder(t, map[string]string{"d.toml": conf(chain, key)})
	for _, from := range []string{chain, key} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, filepath.Base(from)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, dir, "ntp-daemon", "-c", "d.toml")
	p.await("gave up privileges")
	if p.count("landlock=0") > 0 {
		t.Skip("the kernel has no Landlock: all files stay within reach")
	}
	moved := conf(filepath.Join(elsewhere, filepath.Base(chain)), filepath.Join(elsewhere, filepath.Base(key)))
	if err := os.WriteFile(filepath.Join(dir, "d.toml"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.await("old configuration stays in use.*permission denied.*needs a restart")
	// Back where they were, all is well.
	if err := os.WriteFile(filepath.Join(dir, "d.toml"), []byte(conf(chain, key)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.await("INFO.*reload|INFO.*configuration|INFO.*read")
}
