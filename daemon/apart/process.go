package apart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Arg is the argument with which a program calls Main.
const Arg = "key-exchange-process"

// Descriptors of the process.
const (
	fdControl = 3 + iota
	fdCounts
	fdListeners // and those behind it
)

// serve starts the process and speaks with it until it has ended. The error
// says why it did.
func (h *Host) serve(ctx context.Context) error {
	// The kernel kills the process when the thread that started it ends, so
	// that thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	said := &head{}
	cmd := h.command(ctx, theirs, said)
	cmd.Cancel = ours.CloseWrite // it finishes what runs, and ends
	cmd.WaitDelay = endedWithin
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("%w; use --one-process where a service may not start programs", err)
	}
	var broken error // who speaks nonsense is killed
	var all sync.WaitGroup
	all.Go(func() {
		if broken = h.listen(ours, cmd.Process.Pid); broken != nil {
			_ = cmd.Process.Kill()
		}
	})
	speaking, end := context.WithCancel(ctx)
	all.Go(func() {
		if h.speak(speaking, ours) != nil {
			_ = cmd.Process.Kill() // if it has not ended anyway
		}
	})
	err = cmd.Wait()
	end()
	_ = ours.Close()
	all.Wait()
	return reason(err, broken, said.first())
}

// reason is why a process ended, in one line.
func reason(ended, broken error, said string) error {
	if ended == nil {
		ended = errors.New("it ended")
	}
	if broken != nil {
		ended = fmt.Errorf("%w, %w", broken, ended)
	}
	if said != "" {
		ended = fmt.Errorf("%w: %.300q", ended, said)
	}
	return ended
}

// command is the process before it is started. It inherits nothing of the
// environment but what is for the Go runtime.
func (h *Host) command(ctx context.Context, control *os.File, said *head) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.cfg.Program, Arg)
	cmd.Args[0] = "ntp-daemon"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = h.null, h.null, said
	cmd.ExtraFiles = append([]*os.File{control, h.countFile}, h.listeners...)
	cmd.Env = []string{}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GO") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// socketPair makes the two ends of the channel.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close() // net.FileConn takes a duplicate
	c, err := net.FileConn(f)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// speak sends what the process lacks, at first everything, until the context
// ends.
func (h *Host) speak(ctx context.Context, c *net.UnixConn) error {
	var has uint64
	for {
		out, revision, err := h.frames(has)
		if err != nil {
			h.cfg.Log.Error("the process of the key exchange cannot be told its certificate", "code", "key-exchange-process", "error", err)
			return err
		}
		_, err = c.Write(out)
		clear(out)
		if err != nil {
			return err
		}
		has = revision
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
	}
}

// listen hears what the process says until it ends. An error is nonsense: what
// is said once is not said twice, so that nobody fills the log.
func (h *Host) listen(c *net.UnixConn, pid int) error {
	var confined bool
	var mark uint64 // the last that was said back
	for {
		kind, body, err := readFrame(c, maxFromChild)
		if errors.Is(err, errFrame) || errors.Is(err, errBound) {
			return err
		}
		if err != nil {
			return nil // it has ended
		}
		switch kind {
		case frameConfined:
			if confined {
				return fmt.Errorf("%w: it has given up its privileges twice", errFrame)
			}
			confined = true
			if err := h.confined(body, pid); err != nil {
				return err
			}
		case frameMarked:
			n, err := parseNumber(body)
			if err != nil {
				return err
			}
			if n <= mark || !h.took(n) {
				return fmt.Errorf("%w: mark %d after %d", errFrame, n, mark)
			}
			mark = n
		case frameEvent:
			section, o, err := parseEvent(body, len(h.counts))
			if err != nil {
				return err
			}
			h.cfg.Outcome(section, o)
		default:
			return fmt.Errorf("%w: type %d", errFrame, kind)
		}
	}
}

// confined logs what the process says that it has given up.
func (h *Host) confined(b []byte, pid int) error {
	landlock, filtered, capabilities, failure, err := parseConfined(b)
	switch {
	case err != nil:
	case failure != "":
		h.cfg.Log.Warn("the process of the key exchange could not give up its privileges", "code", "key-exchange-process",
			"pid", pid, "error", h.cfg.Line(failure))
	default:
		h.cfg.Log.Info("the key exchange runs in a process of its own", "code", "key-exchange-process",
			"pid", pid, "capabilities", cmp.Or(capabilities, "none"), "landlock", landlock, "filtered", filtered)
	}
	return err
}

// head keeps the beginning of what a process says on standard error: why it
// crashed.
type head struct{ text []byte }

const longestHead = 1 << 10

func (h *head) Write(b []byte) (int, error) {
	h.text = append(h.text, b[:min(len(b), longestHead-len(h.text))]...)
	return len(b), nil
}

// first is the first line.
func (h *head) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(h.text)), "\n")
	return line
}
