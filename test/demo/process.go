package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// processes are the daemons of the demonstration.
type processes struct {
	bin, dir string
	out      io.Writer
	running  []*exec.Cmd
	readers  sync.WaitGroup
	ended    chan error // the first daemon that ended by itself
	stopping chan struct{}
}

// terminal is what several write whole lines to.
type terminal struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(b)
}

// start runs a command in the folder of the demonstration; its log goes to
// the terminal behind its title.
func (p *processes) start(ctx context.Context, title, command string, args ...string) error {
	if p.ended == nil {
		p.ended, p.stopping = make(chan error, 1), make(chan struct{})
	}
	path, err := filepath.Abs(filepath.Join(p.bin, command))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = p.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	log, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	write.Close()
	if err != nil {
		log.Close()
		return fmt.Errorf("starting the %s: %w (run `make build` first)", title, err)
	}
	p.running = append(p.running, cmd)
	p.readers.Go(func() { p.copyLog(title, log) })
	p.readers.Go(func() {
		err := cmd.Wait()
		select {
		case <-p.stopping:
		case p.ended <- fmt.Errorf("the %s ended: %v", title, err):
		default:
		}
	})
	return nil
}

func (p *processes) copyLog(title string, r io.ReadCloser) {
	defer r.Close()
	s := bufio.NewScanner(r)
	for s.Scan() {
		fmt.Fprintf(p.out, "%-8s | %s\n", title, s.Text())
	}
}

// stop ends every daemon and waits for it.
func (p *processes) stop() {
	if p.stopping != nil {
		close(p.stopping)
	}
	for _, cmd := range p.running {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	}
	p.readers.Wait()
}

// show prints what the client says of itself.
func (p *processes) show(ctx context.Context, config string) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "ntp-ctl"), "status", "-c", config)
	if abs, err := filepath.Abs(cmd.Path); err == nil {
		cmd.Path = abs
	}
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	fmt.Fprintf(p.out, "\n$ ntp-ctl status\n%s\n", out)
	if err != nil {
		fmt.Fprintf(p.out, "(%v)\n", err)
	}
}

// waitListening returns once every TCP address accepts connections.
func waitListening(ctx context.Context, addrs ...netip.AddrPort) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for _, a := range addrs {
		for {
			c, err := net.DialTimeout("tcp", a.String(), time.Second)
			if err == nil {
				c.Close()
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("nothing listens at %s: %w", a, err)
			case <-retry.C:
			}
		}
	}
	return nil
}
