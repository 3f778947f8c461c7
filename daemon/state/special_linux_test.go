package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnlyFilesAreFiles: an operator who names /dev/null as a path must not
// find a file in its place, and a pipe that nobody writes to holds up nothing.
func TestOnlyFilesAreFiles(t *testing.T) {
	dir := t.TempDir()
	for name, create := range map[string]func(path string) error{
		"pipe":      func(p string) error { return unix.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"device": func(p string) error {
			if err := unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
				t.Logf("no device of our own here: %v", err)
				return os.Mkdir(p, 0o700)
			}
			return nil
		},
		"link to a pipe": func(p string) error { return os.Symlink(filepath.Join(dir, "pipe2"), p) },
	} {
		if err := unix.Mkfifo(filepath.Join(dir, "pipe2"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path, 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: read with %v", name, err)
		}
		if err := WriteFile(path, []byte("x"), 0o600); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: written with %v", name, err)
		}
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: there is something else now: %v, %v", name, after, err)
		}
	}
}
