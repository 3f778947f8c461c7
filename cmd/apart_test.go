package cmd_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// server is a running daemon that serves NTP and key exchanges.
type server struct {
	*process
	dir     string
	ntp, ke string
	roots   *x509.CertPool
}

func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{roots: authority(t)}
	s.dir, s.ntp, s.ke = serverFolder(t)
	s.process = start(t, s.dir, "ntp-daemon", append([]string{"-c", "d.toml"}, args...)...)
	s.await("listening for NTS key exchange")
	return s
}

// serverFolder is a folder with the configuration of such a daemon in d.toml.
func serverFolder(t *testing.T) (dir, ntp, ke string) {
	t.Helper()
	ntp, ke = port(t, "udp"), port(t, "tcp")
	return folder(t, map[string]string{"d.toml": fmt.Sprintf("[observability]\nobservation-path = \"observe\"\n[synchronization]\nlocal-stratum = 1\n"+
		"[keyset]\nkey-storage-path = \"cookie-keys\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n[[nts-ke-server]]\nlisten = \"127.0.0.1:%s\"\nntp-port = %s\n"+
		"certificate-chain-path = %q\nprivate-key-path = %q\n", ntp, ke, ntp, filepath.Join(keys, "end.fullchain.pem"), filepath.Join(keys, "end.key"))}), ntp, ke
}

// authority is whoever signed the certificates of tests.
func authority(t *testing.T) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(keys, "testca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		t.Fatal("no authority")
	}
	return roots
}

// question is a plain NTP request.
func question() []byte {
	b := make([]byte, 48)
	b[0], b[40] = 4<<3|3, 1
	return b
}

// ask has NTP answered.
func ask(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write(question()); err != nil {
		t.Fatal(err)
	}
	hear(t, c)
}

// hear waits for an answer.
func hear(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
}

// exchange makes a key exchange, which waits for a process that is about to
// start.
func (s *server) exchange() ke.Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	n, err := strconv.ParseUint(s.ke, 10, 16)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := (&ke.Client{}).Exchange(ctx, ke.ClientRequest{Host: "localhost", Port: uint16(n), Roots: s.roots})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, strings.Join(s.lines(), "\n"))
	}
	return r
}

// stored are the cookie keys of the daemon's file.
func (s *server) stored() (*cookie.Keyset, []byte) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "cookie-keys"))
	if err != nil {
		s.t.Fatal(err)
	}
	set, _, err := cookie.Parse(data)
	if err != nil {
		s.t.Fatal(err)
	}
	return set, data
}

// keyProcess is the nth process that serves key exchanges.
func (s *server) keyProcess(nth int) int {
	s.t.Helper()
	const line = `code=key-exchange-process pid=(\d+)`
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if all := s.find(line); len(all) >= nth {
			pid, err := strconv.Atoi(all[nth-1])
			if err != nil {
				s.t.Fatal(err)
			}
			return pid
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%d processes:\n%s", len(s.find(line)), strings.Join(s.lines(), "\n"))
		}
	}
}

// What strangers speak to has no capability, no hope of one, no file and no
// socket but its own, in all threads, even if root starts the daemon; and with
// --one-process there is no such process.
func TestTheKeyExchangeHasNoPrivileges(t *testing.T) {
	s := startServer(t)
	s.exchange()
	pid := s.keyProcess(1)
	for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		for _, got := range threadsOf(t, pid, field) {
			if got != "0000000000000000" {
				t.Errorf("%s is %s in a thread", field, got)
			}
		}
	}
	for _, got := range threadsOf(t, pid, "NoNewPrivs") {
		if got != "1" {
			t.Error("a thread may gain privileges")
		}
	}
	s.await(`code=key-exchange-process.*capabilities=none landlock=\d`)
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		s.await(`code=key-exchange-process.*filtered=true`)
		for _, got := range threadsOf(t, pid, "Seccomp") {
			if got != "2" {
				t.Errorf("system calls of a thread are filtered in mode %s, not 2", got)
			}
		}
	}
	if parent := threadsOf(t, pid, "PPid")[0]; parent != fmt.Sprint(s.cmd.Process.Pid) {
		t.Errorf("its parent is %s", parent)
	}
	// A shell would be started with all that the daemon itself has open.
	for fd := range 64 {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err == nil && (strings.Contains(to, "cookie-keys") || strings.Contains(to, "observe") || strings.Contains(to, s.dir)) {
			t.Errorf("descriptor %d is %s", fd, to)
		}
	}

	one := startServer(t, "--one-process")
	one.exchange()
	if list, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", one.cmd.Process.Pid)); err == nil {
		for _, name := range list {
			if b, err := os.ReadFile(name); err == nil && len(bytes.TrimSpace(b)) > 0 {
				t.Errorf("with --one-process there is process %s", b)
			}
		}
	}
}

// Killed, it is there again within its pause. Until then NTP is answered, and
// cookies from before open after.
func TestTheKeyExchangeIsKilled(t *testing.T) {
	s := startServer(t)
	before := s.exchange()
	conn, err := net.Dial("udp", "127.0.0.1:"+s.ntp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n := 1; n <= 3; n++ {
		s.counted(uint64(n)) // over all processes
		if err := syscall.Kill(s.keyProcess(n), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ask(t, conn)
		after := s.exchange()
		ask(t, conn)
		set, _ := s.stored()
		for _, c := range [][]byte{before.Cookies[0], after.Cookies[0]} {
			if _, err := set.Open(c); err != nil {
				t.Errorf("a cookie does not open: %v", err)
			}
		}
	}
	if got := s.count(`level=WARN.*code=key-exchange-ended error="signal: killed"`); got != 3 {
		t.Errorf("%d lines say that it was killed three times", got)
	}
	s.counted(4)
}

// counted waits until so many key exchanges are counted: it is done when the
// client has its answer.
func (s *server) counted(want uint64) {
	s.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		st, err := observe.Read(filepath.Join(s.dir, "observe"), patience)
		if err != nil {
			s.t.Fatal(err)
		}
		got := uint64(0)
		if len(st.Own.KeyHosts) == 1 {
			got = st.Own.KeyHosts[0].Outcomes["key-exchange"]
		}
		if got == want {
			if n := st.Own.KeyHosts[0].Restarts; n == nil || *n != want-1 { // a process served one exchange
				s.t.Fatalf("%v restarts are told, of %d", n, want-1)
			}
			return
		}
		if got > want || time.Now().After(limit) {
			s.t.Fatalf("%d exchanges are counted, not %d", got, want)
		}
	}
}

// When the daemon is killed, so is it, and the next daemon finds the port free.
func TestTheKeyExchangeEndsWithTheDaemon(t *testing.T) {
	s := startServer(t)
	s.exchange()
	pid := s.keyProcess(1)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if l, err := net.Listen("tcp", "127.0.0.1:"+s.ke); err == nil {
			l.Close()
			break
		} else if time.Now().After(limit) {
			t.Fatalf("process %d still listens", pid)
		}
	}
}

// Signals to the whole service are the daemon's: the process finishes with it.
func TestTheKeyExchangeIgnoresSignals(t *testing.T) {
	s := startServer(t)
	s.exchange()
	pid := s.keyProcess(1)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	s.exchange()
	s.stop()
	if n := s.count("key-exchange-ended"); n > 0 {
		t.Error("it has ended before the daemon")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Cookie keys from before the process began, and those that it had, are not in
// its memory; the one that seals is.
func TestTheKeyExchangeKnowsOneCookieKey(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOARCH != "amd64" {
		t.Skip("needs root to read the memory of a process, and keys that are prepared by our own instructions")
	}
	s := startServer(t)
	s.exchange()
	rotate := func() {
		t.Helper()
		if out, err := ctl(t, s.dir, "keys", "rotate", "-c", "d.toml"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		set, _ := s.stored()
		for limit := time.Now().Add(patience); !bytes.Equal(s.exchange().Cookies[0][:4], set.MarshalNewest()[:4]); {
			if time.Now().After(limit) {
				t.Fatal("the new key is not used")
			}
		}
	}
	rotate()
	if err := syscall.Kill(s.keyProcess(1), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.exchange()
	rotate() // of what the second process has had
	_, file := s.stored()
	const header, length = 20, 64
	count := (len(file) - header) / length
	if count != 3 {
		t.Fatalf("%d keys", count)
	}
	memory := memoryOf(t, s.keyProcess(2))
	for i := range count {
		for half := range 2 { // a key of AES begins its key schedule
			at := header + i*length + half*length/2
			if got, want := bytes.Contains(memory, file[at:at+length/2]), i == count-1; got != want {
				t.Errorf("half %d of key %d of %d in its memory: %v", half, i, count, got)
			}
		}
	}
}

// memoryOf is all that a process may write to.
func memoryOf(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Skip(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skip(err)
	}
	defer mem.Close()
	var all bytes.Buffer
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		// What has not been touched cannot be read.
		_, _ = io.Copy(&all, io.NewSectionReader(mem, from, to-from))
	}
	return all.Bytes()
}

// By hand it is of no use, and says so.
func TestTheKeyExchangeByHand(t *testing.T) {
	p := start(t, t.TempDir(), "ntp-daemon", "key-exchange-process")
	p.await("error: this is how ntp-daemon starts its key exchange; it is of no use by itself")
	<-p.done
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 64 {
		t.Errorf("exit code %d", code)
	}
}
