package cmd_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a command to do what it must.
const patience = 30 * time.Second

// process is a running command whose output is watched line by line.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	all  []string
	more chan struct{}
	done chan struct{}
}

// start runs a command of ours in a folder. It is ended with the test.
func start(t *testing.T, dir, command string, args ...string) *process {
	t.Helper()
	return startRaw(t, dir, filepath.Join(binaries, command), args...)
}

func startRaw(t *testing.T, dir, command string, args ...string) *process {
	t.Helper()
	return startWith(t, dir, func(*exec.Cmd) {}, command, args...)
}

// startWith starts a command that was prepared further.
func startWith(t *testing.T, dir string, prepare func(*exec.Cmd), command string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(command, args...), more: make(chan struct{}, 1), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	prepare(p.cmd)
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	go p.read(r)
	t.Cleanup(p.stop)
	return p
}

func (p *process) read(r *os.File) {
	defer close(p.done)
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		p.mu.Lock()
		p.all = append(p.all, s.Text())
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// stop ends the command and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	<-p.done
	_ = p.cmd.Wait()
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.all...)
}

// await waits for a line that matches.
func (p *process) await(pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		for _, l := range p.lines() {
			if re.MatchString(l) {
				return
			}
		}
		select {
		case <-p.more:
		case <-p.done:
			p.t.Fatalf("ended without a line that matches %q:\n%s", pattern, strings.Join(p.lines(), "\n"))
		case <-limit.C:
			p.t.Fatalf("no line matches %q:\n%s", pattern, strings.Join(p.lines(), "\n"))
		}
	}
}

// count is how many lines match.
func (p *process) count(pattern string) int {
	re := regexp.MustCompile(pattern)
	n := 0
	for _, l := range p.lines() {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// find is what the group of a pattern matches in each line.
func (p *process) find(pattern string) []string {
	re := regexp.MustCompile(pattern)
	var all []string
	for _, l := range p.lines() {
		if m := re.FindStringSubmatch(l); m != nil {
			all = append(all, m[1])
		}
	}
	return all
}

// signal sends a signal.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// folder is a new folder with files in it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ctl runs ntp-ctl and returns what it printed.
func ctl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "ntp-ctl"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// port is a free port of 127.0.0.1.
func port(t *testing.T, network string) string {
	t.Helper()
	p, err := freePort(network)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(p)
}

// exitCode is the exit code of a command that was run.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}

// awaitFile waits until a file holds a text.
func awaitFile(t *testing.T, path, text string) {
	t.Helper()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for limit := time.Now().Add(patience); ; <-retry.C {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), text) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s never held %q (%v): %s", path, text, err, b)
		}
	}
}
