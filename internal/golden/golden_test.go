package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// failing is a test whose failures are counted.
type failing struct {
	testing.TB
	errors int
}

func (f *failing) Helper()               {}
func (f *failing) Errorf(string, ...any) { f.errors++ }

func TestCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	Compare(t, true, file, []byte("one"))
	Compare(t, false, file, []byte("one"))
	f := &failing{TB: t}
	if Compare(f, false, file, []byte("two")); f.errors != 1 {
		t.Errorf("%d failures for another text", f.errors)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "one" {
		t.Errorf("the file was changed: %q, %v", b, err)
	}
	Compare(t, true, file, []byte("two"))
}
