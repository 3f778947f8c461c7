package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAStartSweeps: what a daemon that was killed while it wrote left beside
// its files is gone after the next start, cookie keys above all. Beside a file
// that is not ours nothing is touched.
func TestAStartSweeps(t *testing.T) {
	dir := t.TempDir()
	keys, clock, foreign := filepath.Join(dir, "keys"), filepath.Join(dir, "clock.json"), filepath.Join(dir, "thesis")
	if err := os.WriteFile(foreign, []byte("my thesis"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".keys.123", ".clock.json.456", ".thesis.789"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left behind"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	open(t, keys, &log, now)
	open(t, foreign, &log, now)
	(&saved{path: clock}).load()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 3 || names[0] != ".thesis.789" || names[1] != "keys" || names[2] != "thesis" {
		t.Errorf("there are %q", names)
	}
}
