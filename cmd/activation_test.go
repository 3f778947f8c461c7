package cmd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// activate starts a daemon as a service manager does that has opened sockets
// for it. who is what LISTEN_PID is, in words of a shell.
func activate(t *testing.T, dir, who string, sockets ...*os.File) *process {
	t.Helper()
	var names []string
	for i := range sockets {
		names = append(names, fmt.Sprintf("socket%d", i))
	}
	script := fmt.Sprintf("export LISTEN_PID=%s LISTEN_FDS=%d LISTEN_FDNAMES=%s; exec ntp-daemon -c d.toml", who, len(sockets), strings.Join(names, ":"))
	return startWith(t, dir, func(c *exec.Cmd) { c.ExtraFiles = sockets }, "sh", "-c", script)
}

// bound are a UDP and a TCP socket of a port of 127.0.0.1, as a service manager
// holds them: PassPacketInfo=yes says what address a request came to that waited
// for the daemon.
func bound(t *testing.T, udp, tcp string) (files []*os.File) {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:"+udp)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	raw, err := p.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := ke.Listen(t.Context(), "127.0.0.1:"+tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, s := range []interface{ File() (*os.File, error) }{p.(*net.UDPConn), l} {
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// A service manager's sockets are served on, which nobody else could open, and
// still can be when the daemon was restarted: what came meanwhile is answered.
func TestSocketsThatWereHandedOver(t *testing.T) {
	dir, udp, tcp := serverFolder(t)
	other := port(t, "udp")
	files := append(bound(t, udp, tcp), bound(t, other, port(t, "tcp"))[0], devNull(t))
	conn, err := net.Dial("udp", "127.0.0.1:"+udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if _, err := conn.Write(question()); err != nil { // nobody serves yet
			t.Fatal(err)
		}
		p := activate(t, dir, "$$", files...)
		p.await("serving on sockets that the service manager handed over.*sockets=2")
		p.await(`nobody listens on a socket.*socket="udp 127.0.0.1:` + other + ` \(\\"socket2\\"\)"`)
		p.await(`nobody listens on a socket.*socket="descriptor 6 \(\\"socket3\\"\)"`)
		hear(t, conn)
		s := &server{process: p, dir: dir, ntp: udp, ke: tcp, roots: authority(t)}
		s.exchange()
		ask(t, conn)
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > patience/2 || p.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("ended after %v, %v", took, p.cmd.ProcessState)
		}
	}
	// The daemon's own socket would not be let in beside the other.
	p := activate(t, dir, "1", files...)
	p.await("address already in use")
}

// Who need not bind a privileged port does not keep the privilege.
func TestHandedSocketsNeedNoPrivilege(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to bind a privileged port; continuous integration has it")
	}
	for n := 700; ; n++ {
		p, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", n))
		if err != nil && n < 900 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f, err := p.(*net.UDPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		dir := folder(t, map[string]string{"d.toml": fmt.Sprintf("[observability]\nobservation-path = \"\"\n[[server]]\nlisten = \"127.0.0.1:%d\"\n", n)})
		activate(t, dir, "$$", f).await("gave up privileges.*capabilities=none")
		return
	}
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
