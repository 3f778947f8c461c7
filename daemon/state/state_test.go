package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// broken fails at one step of a write.
type broken struct {
	disk
	step string
	err  error
}

type brokenFile struct {
	file
	on *broken
}

func (b *broken) fail(step string) error {
	if b.step == step {
		return b.err
	}
	return nil
}

func (b *broken) create(dir, pattern string) (file, error) {
	if err := b.fail("create"); err != nil {
		return nil, err
	}
	f, err := b.disk.create(dir, pattern)
	return &brokenFile{f, b}, err
}

func (b *broken) rename(from, to string) error {
	if err := b.fail("rename"); err != nil {
		return err
	}
	return b.disk.rename(from, to)
}

func (b *broken) remove(path string) error {
	if err := b.fail("remove"); err != nil {
		return err
	}
	return b.disk.remove(path)
}

func (b *broken) syncDir(path string) error {
	if err := b.fail("syncDir"); err != nil {
		return err
	}
	return b.disk.syncDir(path)
}

func (f *brokenFile) Chmod(m fs.FileMode) error {
	if err := f.on.fail("chmod"); err != nil {
		return err
	}
	return f.file.Chmod(m)
}

func (f *brokenFile) Write(b []byte) (int, error) {
	if err := f.on.fail("write"); err != nil {
		n, _ := f.file.Write(b[:len(b)/2]) // a full disk takes a part
		return n, err
	}
	return f.file.Write(b)
}

func (f *brokenFile) Sync() error {
	if err := f.on.fail("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *brokenFile) Close() error {
	err := f.file.Close()
	if broken := f.on.fail("close"); broken != nil {
		return broken
	}
	return err
}

func TestWriteFileReplacesWholeAndKeepsTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	for _, text := range []string{"first", "second, longer", "3"} {
		if err := WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path, 100)
		if err != nil || string(got) != text {
			t.Fatalf("got %q, %v; want %q", got, err, text)
		}
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
	alone(t, path)
}

// alone checks that a file has no neighbours: no temporary file stayed.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the directory, %v", len(entries), err)
	}
}

// Whatever fails, the old content is still there, or at the very last step
// the new, and nothing else.
func TestAFailureLosesNothing(t *testing.T) {
	for _, step := range []string{"create", "chmod", "write", "sync", "close", "rename", "syncDir"} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
			t.Run(fmt.Sprint(step, " ", cause), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "keys")
				if err := WriteFile(path, []byte("old content"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := writeFile(&broken{step: step, err: cause}, path, []byte("new content"), 0o600)
				if !errors.Is(err, cause) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want %v with the path", err, cause)
				}
				want := "old content"
				if step == "syncDir" {
					want = "new content"
				}
				if got, _ := os.ReadFile(path); string(got) != want {
					t.Errorf("the file holds %q, want %q", got, want)
				}
				alone(t, path)
			})
		}
	}
}

func TestALinkStaysOne(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "a", "keys"), filepath.Join(dir, "b")
	if err := os.Mkdir(filepath.Dir(real), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("a", "keys"), link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(real); err != nil || string(b) != "new" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if to, err := os.Readlink(link); err != nil || to != filepath.Join("a", "keys") {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	alone(t, real)
}

func TestErrorsNameTheAbsolutePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := WriteFile("missing/keys", nil, 0o600); err == nil || !strings.HasPrefix(err.Error(), "could not write "+dir+"/missing/keys: ") {
		t.Errorf("got %v", err)
	}
	if _, err := ReadFile("keys", 1); err == nil || !strings.HasPrefix(err.Error(), "could not read "+dir+"/keys: ") {
		t.Errorf("got %v", err)
	}
}

func TestTheDirectoryIsSynced(t *testing.T) {
	if err := (disk{}).syncDir(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := (disk{}).syncDir(t.TempDir()); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "keys")
	err := WriteFile(path, nil, 0o600)
	if want := "could not write " + path + ": no such file or directory; make the directory " + filepath.Dir(path); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	for cause, hint := range map[error]string{syscall.ENOSPC: "make room", syscall.EROFS: "choose a path on another", fs.ErrPermission: "let the daemon write"} {
		if got := explain("/x/y", cause).Error(); !strings.Contains(got, hint) || strings.Contains(got, "\n") {
			t.Errorf("%v: %q", cause, got)
		}
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, make([]byte, 11), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path, 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if b, err := ReadFile(path, 11); err != nil || len(b) != 11 {
		t.Errorf("got %d octets, %v", len(b), err)
	}
	if _, err := ReadFile(path+"x", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestExposed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for mode, want := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o620: true, 0o610: true, 0o604: true, 0o602: true, 0o601: true} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := Exposed(path); got != want {
			t.Errorf("%v: %v", mode, got)
		}
		was, err := Close(path)
		if was != want || err != nil || Exposed(path) {
			t.Errorf("%v: was exposed %v, is %v, %v", mode, was, Exposed(path), err)
		}
		if info, err := os.Stat(path); err != nil || want && info.Mode().Perm() != 0o600 || !want && info.Mode().Perm() != mode {
			t.Errorf("%v became %v, %v", mode, info.Mode(), err)
		}
	}
}

// What is no file stays as it is.
func TestCloseOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Close(dir); !errors.Is(err, ErrNotRegular) {
		t.Errorf("got %v", err)
	}
	if after, err := os.Stat(dir); err != nil || after.Mode() != before.Mode() {
		t.Errorf("%v became %v, %v", before.Mode(), after.Mode(), err)
	}
	if _, err := Close(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A file with secrets is used only if nobody else could read or write it.
func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o610: false, 0o601: false} {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		b, err := ReadSecret(path, 10)
		if got := err == nil && string(b) == "secret"; got != want || !want && !errors.Is(err, ErrExposed) {
			t.Errorf("%v: %q, %v", mode, b, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadSecret(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A file is gone for good, or the error says that it may come back.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Remove(path); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	for step, gone := range map[string]bool{"": true, "remove": false, "syncDir": true} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err := remove(&broken{step: step, err: syscall.EIO}, path)
		if (err == nil) != (step == "") || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", step, err)
		}
		if _, err := os.Stat(path); os.IsNotExist(err) != gone {
			t.Errorf("%q: the file is there: %v", step, err)
		}
	}
}
