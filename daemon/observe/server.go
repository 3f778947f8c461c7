package observe

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// DefaultPath is where the socket is when the configuration does not say.
const DefaultPath = "/var/run/ntpd-rs/observe"

const (
	maxConnections = 8
	writeTimeout   = 500 * time.Millisecond
	acceptPause    = 100 * time.Millisecond
)

// ErrInUse means that another daemon answers at the path. Its socket is never
// taken over.
var ErrInUse = errors.New("another daemon answers there")

// Listen makes the socket with the given permissions, and its directory when
// it is missing. A socket file that no one answers is replaced; a file that
// is no socket is left alone.
func Listen(path string, mode fs.FileMode) (net.Listener, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	if err := clear(abs); err != nil {
		return nil, fmt.Errorf("observation socket %s: %w", abs, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return nil, fmt.Errorf("observation socket %s: %w (choose another observation-path, or \"\" for none)", abs, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: abs, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("observation socket %s: %w (choose another observation-path, or \"\" for none)", abs, cause(err))
	}
	if err := os.Chmod(abs, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("observation socket %s: %w", abs, err)
	}
	return l, nil
}

// clear makes way for a new socket.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("the file there is not a socket (remove it, or choose another observation-path)")
	}
	c, err := net.DialTimeout("unix", path, writeTimeout)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%w (set another observation-path for one of the two)", ErrInUse)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return cause(err)
	}
}

// cause strips the layers of net errors that repeat the address.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Serve answers connections with the state of that moment until the context
// ends: a length of eight octets, big-endian, and the JSON document.
func Serve(ctx context.Context, l net.Listener, state func() State) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, maxConnections)
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if temporary(err) {
				pause(ctx, acceptPause)
				continue
			}
			return fmt.Errorf("observation socket: %w", cause(err))
		}
		slots <- struct{}{}
		connections.Go(func() {
			defer func() { <-slots }()
			answer(c, state())
		})
	}
}

// temporary reports errors of accept that pass: the peer went away, or the
// machine is short of something.
func temporary(err error) bool {
	for _, e := range []syscall.Errno{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func answer(c net.Conn, s State) {
	defer c.Close()
	body, err := json.Marshal(s)
	if err != nil {
		return // a State holds nothing that cannot be marshalled but NaN, which FromStatus does not make
	}
	_ = c.SetDeadline(time.Now().Add(writeTimeout))
	out := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), uint64(len(body)))
	_, _ = c.Write(append(out, body...)) // the reader is gone; nothing is lost
}
