package lab

import (
	_ "embed"
	"os"
	"path/filepath"
)

//go:embed fakeclock/fakeclock.c
var fakeClockSource []byte

// FakeClock compiles the preload library under which a program believes that it steers the clock, and returns its path.
func FakeClock(dir string, say Say) (string, error) {
	if err := NeedTools(say, "cc"); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "fakeclock.c")
	if err := os.WriteFile(source, fakeClockSource, 0o644); err != nil {
		return "", err
	}
	library := filepath.Join(dir, "fakeclock.so")
	return library, quietly("cc", "-shared", "-fPIC", "-O2", "-o", library, source)
}
