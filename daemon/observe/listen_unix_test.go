//go:build unix && !solaris && !aix

package observe

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// umask sets the process's until the test ends.
func umask(t *testing.T, mask int) {
	t.Helper()
	before := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(before) })
}

func permissions(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// TestPermissionsFromTheFirstInstant: nobody connects between bind and chmod,
// whatever the umask is.
func TestPermissionsFromTheFirstInstant(t *testing.T) {
	for _, c := range []struct {
		mask              int
		mode, bound, last fs.FileMode
	}{
		{0, 0o600, 0o600, 0o600},
		{0, 0o660, 0o660, 0o660},
		{0o022, 0o666, 0o644, 0o666},
		{0o077, 0o666, 0o600, 0o666},
		{0o777, 0o600, 0, 0o600},
	} {
		umask(t, 0o022)
		dir := t.TempDir()
		umask(t, c.mask)
		l, err := bind(filepath.Join(dir, "a"), c.mode)
		if err != nil {
			t.Fatal(err)
		}
		if got := permissions(t, filepath.Join(dir, "a")); got != c.bound {
			t.Errorf("umask %o, mode %v: bound with %v, want %v", c.mask, c.mode, got, c.bound)
		}
		l.Close()
		if l, err = Listen(filepath.Join(dir, "b"), c.mode); err != nil {
			t.Fatal(err)
		}
		if got := permissions(t, filepath.Join(dir, "b")); got != c.last {
			t.Errorf("umask %o, mode %v: got %v", c.mask, c.mode, got)
		}
		l.Close()
	}
}

// TestNoOtherFileIsMadeAccessible: whoever may write to the directory cannot
// have us change the permissions of a file elsewhere.
func TestNoOtherFileIsMadeAccessible(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "observe")
	if err := os.Symlink(secret, path); err != nil {
		t.Fatal(err)
	}
	if err := widen(path, 0o666); err == nil {
		t.Error("a link was taken for the socket")
	}
	if got := permissions(t, secret); got != 0o600 {
		t.Errorf("the secret is now %v", got)
	}
}

// TestOneOfManyGetsADeadSocket starts many daemons at once where one was killed.
func TestOneOfManyGetsADeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observe")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	var all sync.WaitGroup
	results := make(chan error, 16)
	for range cap(results) {
		all.Go(func() {
			l, err := Listen(path, 0o600)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			results <- err
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrInUse):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d daemons have the socket", won)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err != nil {
		t.Errorf("nobody answers: %v", err)
	} else {
		c.Close()
	}
}
