// Package state is the one place that writes durable files. A file is
// replaced whole or not at all: after a crash at any instant there is either
// the old content or the new.
package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile replaces a file: it writes a temporary one beside it, syncs it,
// renames it over the old one and syncs the directory. mode is the new file's.
// On an error the old content is still there, and no temporary file stays
// behind. A symbolic link stays one: the file that it leads to is replaced.
// What is there and no regular file, such as /dev/null, is never replaced.
// Errors name the absolute path and what to do.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return writeFile(disk{}, path, data, mode)
}

// filesystem is what writeFile does to a disk, so that tests can make each
// step fail.
type filesystem interface {
	create(dir, pattern string) (file, error)
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
}

type file interface {
	io.WriteCloser
	Name() string
	Chmod(fs.FileMode) error
	Sync() error
}

func writeFile(on filesystem, path string, data []byte, mode fs.FileMode) (err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	defer func() {
		if err != nil {
			err = explain(abs, err)
		}
	}()
	target := abs
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		target = real
	}
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return ErrNotRegular
	}
	dir := filepath.Dir(target)
	f, err := on.create(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	if err := fill(f, data, mode); err != nil {
		return errors.Join(err, on.remove(f.Name()))
	}
	if err := on.rename(f.Name(), target); err != nil {
		return errors.Join(err, on.remove(f.Name()))
	}
	return on.syncDir(dir)
}

// fill writes and syncs a new file. Its mode is set before there is anything
// in it to read.
func fill(f file, data []byte, mode fs.FileMode) error {
	err := f.Chmod(mode)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// explain makes one line of an error: the file, the cause, the remedy.
func explain(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, ErrNotRegular):
		hint = "; choose another path"
	case errors.Is(err, fs.ErrNotExist):
		hint = "; make the directory " + filepath.Dir(path)
	case errors.Is(err, fs.ErrPermission):
		hint = "; let the daemon write to the directory " + filepath.Dir(path)
	case errors.Is(err, syscall.ENOSPC):
		hint = "; make room on the disk"
	case errors.Is(err, syscall.EROFS):
		hint = "; the file system is read-only: choose a path on another"
	}
	return fmt.Errorf("could not write %s: %w%s", path, cause(err), hint)
}

// cause leaves out the paths that errors of package os repeat.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// ErrTooLarge means that a file is longer than it could be.
var ErrTooLarge = errors.New("the file is too large to be what it should be")

// ErrNotRegular means that there is something else than a file: a directory, a
// device, a pipe.
var ErrNotRegular = errors.New("it is not a regular file")

// ErrExposed means that a file with secrets is open to others, or another's.
var ErrExposed = errors.New("others can read or write it, so it is not to be trusted; remove it, or give it to the daemon's user alone: chmod 600")

// ReadFile reads a regular file of at most limit octets. It waits for nobody
// who might write into a pipe.
func ReadFile(path string, limit int64) ([]byte, error) { return readFile(path, limit, false) }

// ReadSecret is ReadFile for a file that only this process' user, or root, may
// have written and may read; else the error is ErrExposed.
func ReadSecret(path string, limit int64) ([]byte, error) { return readFile(path, limit, true) }

func readFile(path string, limit int64, secret bool) ([]byte, error) {
	f, abs, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if secret && (exposed(info) || !ours(info)) {
		return nil, fmt.Errorf("could not use %s: %w", abs, ErrExposed)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("could not read %s: %w", abs, cause(err))
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("could not read %s: %w", abs, ErrTooLarge)
	}
	return data, nil
}

// openRegular opens a file for reading, without waiting for whoever would write
// to a pipe. The error names its absolute path.
func openRegular(path string) (f *os.File, abs string, info fs.FileInfo, err error) {
	abs, err = filepath.Abs(path)
	if err != nil {
		abs = path
	}
	f, err = os.OpenFile(abs, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, abs, nil, fmt.Errorf("could not read %s: %w", abs, cause(err))
	}
	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, abs, nil, fmt.Errorf("could not read %s: %w", abs, cause(err))
	}
	return f, abs, info, nil
}

// Remove removes a file for good: a crash does not bring it back once it
// returned nil. That there is none is no error.
func Remove(path string) error { return remove(disk{}, path) }

func remove(on filesystem, path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	err := on.remove(path)
	if err == nil {
		err = on.syncDir(filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("could not remove %s: %w", path, cause(err))
	}
	return nil
}

// exposed reports whether a file has a mode bit that no file with secrets
// should have.
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// Exposed reports whether others than the owner, its group among them, may
// read, write or run a file.
func Exposed(path string) bool {
	info, err := os.Stat(path)
	return err == nil && exposed(info)
}

// Close takes a regular file with secrets away from all but its owner: an
// exposed one has mode 0600 then. It reports whether the file was exposed; on
// an error it still is.
func Close(path string) (was bool, err error) {
	f, abs, info, err := openRegular(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if !exposed(info) {
		return false, nil
	}
	if err := f.Chmod(0o600); err != nil {
		return true, fmt.Errorf("could not change the mode of %s: %w", abs, cause(err))
	}
	return true, nil
}
