//go:build unix && !solaris && !aix

package observe

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// restrict sets the mode of a socket that is not bound yet.
func restrict(c syscall.RawConn, mode fs.FileMode) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = syscall.Fchmod(int(fd), uint32(mode)) }); err != nil {
		return err
	}
	return inner
}

// alone waits until no one else makes a socket in a directory, and returns what
// lets the next one. Anybody who may read the directory can hold it, so that
// the wait is a short one.
func alone(dir string) (release func()) {
	d, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for range lockTries {
		if syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != syscall.EWOULDBLOCK {
			break
		}
		time.Sleep(lockPause)
	}
	return func() { d.Close() }
}

const (
	lockTries = 40
	lockPause = 25 * time.Millisecond
)
