package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// bench is one run: its processes, and its results.
type bench struct {
	options
	bin, dir string

	mu      sync.Mutex
	started []*exec.Cmd

	direct, pool, usual string // addresses
	directPID, poolPID  int
	gen, honest         *talk
	cpu, upstream, idle float64
}

const serverTOML = `[observability]
observation-path = ""
log-level = "warn"

[synchronization]
update-system-clock = false
local-stratum = 1

[[server]]
listen = "127.0.0.1:%d"

[[nts-ke-server]]
listen = "%s"
certificate-chain-path = "source.chain.pem"
private-key-path = "source.key"
concurrent-connections = 2048
key-exchange-timeout-ms = 10000
accepted-pool-authentication-tokens = ["%s"]
ntp-server = "127.0.0.1"
`

const poolTOML = `[nts-pool-ke-server]
listen = "%s"
certificate-authority-path = "root.pem"
certificate-chain-path = "pool.chain.pem"
private-key-path = "pool.key"
concurrent-connections = %d
key-exchange-timeout-ms = 600000
key-exchange-servers = [{ domain = "127.0.0.1", port = %s, token = "%s" }]

[observability]
log-level = "warn"
`

// usualTOML is a pool with its limits as they are unless somebody sets them.
const usualTOML = `[nts-pool-ke-server]
listen = "%s"
certificate-authority-path = "root.pem"
certificate-chain-path = "pool.chain.pem"
private-key-path = "pool.key"
key-exchange-servers = [{ domain = "127.0.0.1", port = %s, token = "%s" }]

[observability]
log-level = "error"
`

const token = "the token of the bench"

// launch makes certificates and configurations, and starts server, pool and
// generator.
func (b *bench) launch() error {
	ca, err := lab.NewAuthority("bench-pool")
	if err != nil {
		return err
	}
	if err := ca.WriteRoot(b.file("root.pem")); err != nil {
		return err
	}
	for _, name := range []string{"source", "pool"} {
		if err := ca.WriteLeaf(b.dir, name, "127.0.0.1"); err != nil {
			return err
		}
	}
	b.direct, b.pool, b.usual = freeTCP(), freeTCP(), freeTCP()
	_, port, _ := net.SplitHostPort(b.direct)
	ntp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ntpPort := ntp.LocalAddr().(*net.UDPAddr).Port
	ntp.Close()
	for name, text := range map[string]string{
		"server.toml": fmt.Sprintf(serverTOML, ntpPort, b.direct, token),
		"pool.toml":   fmt.Sprintf(poolTOML, b.pool, 2*b.clients, port, token),
		"usual.toml":  fmt.Sprintf(usualTOML, b.usual, port, token),
	} {
		if err := os.WriteFile(b.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if b.directPID, err = b.program("ntp-daemon", "server.toml", b.direct); err != nil {
		return err
	}
	if b.poolPID, err = b.program("nts-pool-ke", "pool.toml", b.pool); err != nil {
		return err
	}
	if _, err = b.program("nts-pool-ke", "usual.toml", b.usual); err != nil {
		return err
	}
	if b.gen, err = b.role("generator", b.file("root.pem")); err != nil {
		return err
	}
	b.honest, err = b.role("generator", b.file("root.pem"))
	return err
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func freeTCP() string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// program starts one of our programs and waits until it listens.
func (b *bench) program(name, config, addr string) (pid int, err error) {
	log, err := os.Create(b.file(config + ".log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(b.bin, name), "-c", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, log, log
	if err := b.start(cmd); err != nil {
		return 0, fmt.Errorf("%w (make build makes it)", err)
	}
	for range 200 {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return cmd.Process.Pid, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s does not listen on %s", name, addr)
}

func (b *bench) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = append(b.started, cmd)
	return nil
}

func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cmd := range b.started {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

// talk is a process of ours that answers each line with a line.
type talk struct {
	pid int
	in  *bufio.Writer
	out *bufio.Scanner
}

func (b *bench) role(name string, args ...string) (*talk, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{name}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.start(cmd); err != nil {
		return nil, err
	}
	return &talk{pid: cmd.Process.Pid, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}, nil
}

// ask sends a line and reads numbers out of the answer.
func (t *talk) ask(into []any, format string, args ...any) error {
	fmt.Fprintf(t.in, format+"\n", args...)
	if err := t.in.Flush(); err != nil {
		return err
	}
	if !t.out.Scan() {
		return fmt.Errorf("%q was not answered", fmt.Sprintf(format, args...))
	}
	line := t.out.Text()
	if problem, bad := strings.CutPrefix(line, "error "); bad {
		return fmt.Errorf("%s: %s", fmt.Sprintf(format, args...), problem)
	}
	if _, err := fmt.Sscan(line, into...); err != nil {
		return fmt.Errorf("answer %q: %w", line, err)
	}
	return nil
}
