package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs on a host until it is stopped.
type Process struct {
	Name string
	Log  string // file on the machine that gets standard output and error

	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// runLocked runs a command from a thread that lives as long as the command: Pdeathsig fires when the starting thread ends.
func runLocked(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// Start runs a program in the background. It is stopped by Stop or by closing the host.
func (h *Host) Start(p Program) (*Process, error) {
	cmd, err := h.command(p)
	if err != nil {
		return nil, err
	}
	name := p.Log
	if name == "" {
		name = filepath.Base(p.Args[0]) + ".log"
	}
	log, err := os.OpenFile(filepath.Join(h.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	proc := &Process{Name: name, Log: log.Name(), cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		proc.err = cmd.Wait()
		close(proc.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(p.Args, " "), err)
	}
	h.mu.Lock()
	h.processes = append(h.processes, proc)
	h.mu.Unlock()
	return proc, nil
}

// Exited tells whether the program has ended by itself, and how.
func (p *Process) Exited() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Pid is the process's number on the machine.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program alone.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop asks the program and its children to end, and ends them after three seconds.
func (p *Process) Stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // children too; there may be none left
	<-p.done
}

// Text returns what the program has printed so far.
func (p *Process) Text() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Tail returns the last lines that the program has printed.
func (p *Process) Tail(lines int) string {
	all := strings.Split(strings.TrimRight(p.Text(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
