package observe

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"
)

// maxDocument bounds what Read accepts, in octets.
const maxDocument = 1 << 20

// ErrUnreachable means that nothing answers at the path.
var ErrUnreachable = errors.New("could not reach the daemon")

// Read asks the daemon at path for its state, waiting at most timeout.
func Read(path string, timeout time.Duration) (State, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	c, err := net.DialTimeout("unix", abs, timeout)
	if err != nil {
		return State{}, fmt.Errorf("%w at %s: %w%s", ErrUnreachable, abs, cause(err), dialHint(err))
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return State{}, fmt.Errorf("observation socket %s: %w", abs, err)
	}
	var s State
	if err := decode(c, &s); err != nil {
		return State{}, fmt.Errorf("observation socket %s: %w", abs, err)
	}
	return s, nil
}

func decode(r io.Reader, s *State) error {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	n := binary.BigEndian.Uint64(head[:])
	if n > maxDocument {
		return fmt.Errorf("message too large: %d octets", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("answer cut short: %w", err)
	}
	if err := json.Unmarshal(body, s); err != nil {
		return fmt.Errorf("answer is not a daemon's state: %s", Harmless(err.Error())) // it quotes the answer
	}
	return nil
}

func dialHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return " (is ntp-daemon running, with this observation-path?)"
	case errors.Is(err, fs.ErrPermission):
		return " (run as root, or widen observation-permissions)"
	default:
		return ""
	}
}
