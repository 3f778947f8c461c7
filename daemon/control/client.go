package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// ErrUnreachable means that nothing answers at the path.
var ErrUnreachable = errors.New("could not reach the daemon")

// ErrPermission means that the socket is there and not for us.
var ErrPermission = errors.New("not allowed to command the daemon")

// ErrRefused means that the daemon did not do what it was told; the text says
// why.
var ErrRefused = errors.New("the daemon refused")

// Do sends a request to the daemon at path and waits at most timeout for its
// answer. Err is ErrRefused, with the reasons, when it was not done.
func Do(path string, r Request, timeout time.Duration) (Answer, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	c, err := net.DialTimeout("unix", abs, timeout)
	if err != nil {
		return Answer{}, dialError(abs, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Answer{}, fmt.Errorf("control socket %s: %w", abs, err)
	}
	a, err := exchange(c, r)
	if err != nil {
		return a, fmt.Errorf("control socket %s: %w", abs, err)
	}
	if !a.Done {
		return a, refusal(a.Text)
	}
	return a, nil
}

// refusal is ErrRefused with its reasons.
func refusal(text []string) error {
	errs := make([]error, 0, len(text))
	for _, t := range text {
		errs = append(errs, fmt.Errorf("%w: %s", ErrRefused, t))
	}
	if len(errs) == 0 {
		return ErrRefused
	}
	return errors.Join(errs...)
}

func exchange(c io.ReadWriter, r Request) (Answer, error) {
	r.Schema = Schema
	b, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	if len(b) >= MaxRequest {
		return Answer{}, fmt.Errorf("the request is longer than %d octets", MaxRequest)
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		return Answer{}, fmt.Errorf("the request could not be sent: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(c, MaxAnswer)).ReadBytes('\n')
	if err != nil {
		return Answer{}, fmt.Errorf("no answer: %w", err)
	}
	var a Answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Answer{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	for i, text := range a.Text { // which may hold what the daemon has heard from afar
		a.Text[i] = observe.Harmless(text)
	}
	return a, nil
}

func dialError(path string, err error) error {
	cause := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w at %s: %w (run it as root)", ErrPermission, path, cause)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s: %w (is ntp-daemon running, with this control-path?)", ErrUnreachable, path, cause)
	default:
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, path, cause)
	}
}
