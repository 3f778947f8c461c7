package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/testns"
)

// tiny mounts a file system of 64 KiB in memory.
func tiny(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no mounts here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk takes what room there is.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

// TestAFullDiskLosesNothing: the old content stays, the error says so in one
// line, and once there is room again the next write succeeds.
func TestAFullDiskLosesNothing(t *testing.T) {
	if !testns.Inside(t, testns.Mounts, 0) {
		return
	}
	dir := tiny(t)
	path := filepath.Join(dir, "keys")
	old, replacement := bytes.Repeat([]byte("old "), 100), bytes.Repeat([]byte("new "), 5000)
	if err := WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	ballast := fillDisk(t, dir)
	for range 3 {
		err := WriteFile(path, replacement, 0o600)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room on the disk") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, old) {
			t.Errorf("the file holds %d octets, %v", len(got), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, replacement, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, replacement) {
		t.Errorf("the file holds %d octets, %v", len(got), err)
	}
}

// TestAReadOnlyFileSystemLosesNothing: not even for root.
func TestAReadOnlyFileSystemLosesNothing(t *testing.T) {
	if !testns.Inside(t, testns.Mounts, 0) {
		return
	}
	dir := tiny(t)
	path := filepath.Join(dir, "keys")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, []byte("new"), 0o600)
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "read-only") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if got, err := ReadFile(path, 10); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if was, err := Close(path); was || err != nil {
		t.Errorf("a file that nobody else can read needs no change: %v, %v", was, err)
	}
	Sweep(path)
	alone(t, path)
}
