package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/vm/wire"
)

// guest does what it is asked for.
type guest struct {
	mu       sync.Mutex
	programs map[string]*program
	replies  *json.Encoder
}

// program is a program in the background.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *program) since(offset int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.text.Bytes()[min(offset, p.text.Len()):])
}

func (p *program) code() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

func (g *guest) handle(r wire.Request) {
	reply, err := g.perform(r)
	reply.ID = r.ID
	if err != nil {
		reply.Error = err.Error()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.replies.Encode(reply) // the host notices a line that is gone by itself
}

func (g *guest) perform(r wire.Request) (wire.Reply, error) {
	switch r.Op {
	case wire.Ping:
		return wire.Reply{}, nil
	case wire.Run:
		return run(r)
	case wire.Start:
		return wire.Reply{}, g.start(r)
	case wire.Log, wire.Stop:
		return g.known(r)
	case wire.SetTime:
		now := unix.NsecToTimespec(r.Time.UnixNano())
		return wire.Reply{}, unix.ClockSettime(unix.CLOCK_REALTIME, &now)
	case wire.Clock:
		return wire.Reply{Time: time.Now()}, nil
	case wire.Connect:
		return connect(r.Args[0])
	case wire.Socket:
		text, err := readSocket(r.Args[0])
		return wire.Reply{Bytes: text}, err
	case wire.Write:
		return wire.Reply{}, os.WriteFile(r.Args[0], []byte(r.Args[1]), 0o644)
	case wire.Read:
		text, err := os.ReadFile(r.Args[0])
		return wire.Reply{Output: string(text)}, err
	case wire.Halt:
		return wire.Reply{}, unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	return wire.Reply{}, fmt.Errorf("unknown operation %q", r.Op)
}

func connect(addr string) (wire.Reply, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return wire.Reply{Code: 1}, nil
	}
	if err != nil {
		return wire.Reply{}, err
	}
	return wire.Reply{}, conn.Close()
}

func readSocket(path string) ([]byte, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(conn, 1<<20))
}

func command(r wire.Request) *exec.Cmd {
	cmd := exec.Command(r.Args[0], r.Args[1:]...)
	cmd.Dir = r.Dir
	cmd.Env = []string{"PATH=/bin", "HOME=/root", "TZ=UTC"}
	return cmd
}

func run(r wire.Request) (wire.Reply, error) {
	cmd := command(r)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return wire.Reply{}, err
	}
	return wire.Reply{Output: string(out), Code: cmd.ProcessState.ExitCode()}, nil
}

func (g *guest) start(r wire.Request) error {
	p := &program{cmd: command(r), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.programs[r.Name] != nil {
		return fmt.Errorf("%s is already there", r.Name)
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	g.programs[r.Name] = p
	go func() {
		_ = p.cmd.Wait() // its exit code is kept in the process state
		close(p.done)
	}()
	return nil
}

// known performs an operation on a program that was started before.
func (g *guest) known(r wire.Request) (wire.Reply, error) {
	g.mu.Lock()
	p := g.programs[r.Name]
	g.mu.Unlock()
	if p == nil {
		return wire.Reply{}, fmt.Errorf("no program is known as %q", r.Name)
	}
	if r.Op == wire.Stop {
		if err := p.cmd.Process.Signal(syscall.Signal(r.Signal)); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return wire.Reply{}, err
		}
		<-p.done
	}
	return wire.Reply{Output: p.since(r.Offset), Code: p.code()}, nil
}
