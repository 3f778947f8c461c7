package observe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse means that another daemon answers at the path. Its socket is never
// taken over.
var ErrInUse = errors.New("another daemon answers there")

// Listen makes the socket with the given permissions, and its directory when
// it is missing. A socket file that no one answers is replaced; a file that
// is no socket is left alone. Nobody whom the permissions keep out can connect
// at any time, and no file but the socket ever changes its own.
func Listen(path string, mode fs.FileMode) (net.Listener, error) {
	return ListenAs("observation socket", "observation-path", path, mode)
}

// ListenAs is Listen for a socket of another kind, whose path another key of
// the configuration gives.
func ListenAs(what, key, path string, mode fs.FileMode) (net.Listener, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	l, err := listen(abs, mode.Perm(), key)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, abs, err)
	}
	return l, nil
}

func listen(path string, mode fs.FileMode, key string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, elsewhere(err, key)
	}
	// One at a time: of two that find the same dead socket, the second would
	// remove the first one's new one.
	defer alone(dir)()
	if err := clear(path, key); err != nil {
		return nil, err
	}
	l, err := bind(path, mode)
	if err != nil {
		return nil, elsewhere(cause(err), key)
	}
	if err := widen(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// bind makes the socket file. The kernel gives it the mode that the socket has,
// less the umask, so that it is never wider than that for an instant.
func bind(path string, mode fs.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return restrict(c, mode) }}
	return lc.Listen(context.Background(), "unix", path)
}

// elsewhere adds what to do about a place that will not do.
func elsewhere(err error, key string) error {
	return fmt.Errorf("%w (choose another %s, or \"\" for none)", err, key)
}

// widen gives the socket the permissions that the umask took away. It follows
// no link out of the socket's directory.
func widen(path string, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("someone put another file in its place")
	case info.Mode().Perm() == mode:
		return nil
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Chmod(filepath.Base(path), mode)
}

// clear makes way for a new socket.
func clear(path, key string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("the file there is not a socket (remove it, or choose another %s)", key)
	}
	c, err := net.DialTimeout("unix", path, writeTimeout)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%w (set another %s for one of the two)", ErrInUse, key)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return cause(err)
	}
}
