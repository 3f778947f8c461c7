package privilege

import (
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/seccomp"
)

// sandbox forbids the system call for filters in all threads, as a service's
// own filter may.
func sandbox() error {
	return seccomp.AllThreads([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SECCOMP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
}

// accept serves the client of the listener that was handed over.
func accept() error {
	f := os.NewFile(4, "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("here"))
	return err
}

// Isolated, there is nothing left to reach, though a parent that was confined
// itself allowed it to itself: no socket can be made, not even to connect to
// the daemon's own, and no process.
func TestIsolation(t *testing.T) {
	for _, how := range []string{"isolate", "isolate in a sandbox"} {
		t.Run(how, func(t *testing.T) { isolation(t, "time bind execute "+how) })
	}
}

func isolation(t *testing.T, needs string) {
	lines, pid := confined(t, needs, grounds(t), nil)
	if lines[0] != "left [] <nil>" {
		t.Errorf("it says %q", lines[0])
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("no filter of system calls for this architecture")
	}
	const refused = "function not implemented"
	want := map[string]string{"dumpable": "0 <nil>", "filtered": "true", "accept": allowed, "calls": "[]"}
	for _, what := range []string{
		"read inside", "write inside", "rename inside", "system", "unix socket", "udp", "read a file", "connect to a file", "read outside",
		"write outside", "write to what may be read", "execute", "execute itself", "listen", "udp 999", "connect", "signal",
	} {
		want[what] = refused
	}
	wantSaid(t, lines, want)
	for field, want := range map[string]string{"CapEff": strings.Repeat("0", 16), "Seccomp": "2"} {
		for _, got := range statuses(t, pid, field) {
			if got != want {
				t.Errorf("%s is %s in a thread", field, got)
			}
		}
	}
}

// Where system calls are not filtered Landlock does what it can.
func TestIsolationByLandlock(t *testing.T) {
	lines, _ := confined(t, "time bind execute enclose", grounds(t), nil)
	if lines[0] != "left [] <nil>" {
		t.Errorf("it says %q", lines[0])
	}
	want := map[string]string{
		"read inside": denied, "write inside": denied, "rename inside": "no such file or directory", "system": denied, "unix socket": denied, "udp": allowed,
		"read outside": denied, "write outside": denied, "write to what may be read": denied,
		"execute": denied, "execute itself": denied, "listen": denied, "udp 999": denied, "connect": denied, "signal": "operation not permitted", "dumpable": "0 <nil>",
		"filtered": "false", "read a file": denied, "connect to a file": denied, "accept": allowed, "calls": "true",
	}
	if slices.ContainsFunc(lines, func(l string) bool { return slices.Contains(withoutScopes, l) }) { // which are of version 6
		want["signal"] = allowed
	}
	if slices.ContainsFunc(lines, func(l string) bool { // names of sockets are of version 9
		return slices.Contains(append([]string{"landlock 6", "landlock 7", "landlock 8"}, withoutScopes...), l)
	}) {
		want["connect to a file"] = allowed
	}
	wantLines(t, lines, want)
}
