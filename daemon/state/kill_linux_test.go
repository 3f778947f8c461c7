package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writer is set in the environment of a test binary that only writes.
const writer = "STATE_TEST_WRITE"

// generation is what a writer writes: large enough for several system calls
// to matter, and recognisable as whole.
func generation(n int) []byte {
	head := fmt.Sprintf("%08d ", n)
	return []byte(head + strings.Repeat(head, 1000+n%500) + "end\n")
}

func whole(b []byte) bool {
	n, err := strconv.Atoi(string(b[:min(8, len(b))]))
	return err == nil && bytes.Equal(b, generation(n))
}

// TestSIGKILLLosesNothing kills a process that writes a file over and over, at
// random instants. The file always holds one whole generation, and the next
// start sweeps away what is left of the one that was under way.
func TestSIGKILLLosesNothing(t *testing.T) {
	if path := os.Getenv(writer); path != "" {
		for n := 0; ; n++ {
			if err := WriteFile(path, generation(n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := WriteFile(path, generation(0), 0o600); err != nil {
		t.Fatal(err)
	}
	left, moved := 0, 0
	for kill := range 60 {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), writer+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Kill once it writes, and not always in the same phase of that.
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if b, err := os.ReadFile(path); err == nil && !bytes.Equal(b, before) {
				moved++
				break
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		_ = cmd.Wait() // it was killed
		got, err := ReadFile(path, 1<<20)
		if err != nil || !whole(got) {
			t.Fatalf("kill %d: %d octets, %v", kill, len(got), err)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		left += len(entries) - 1
		Sweep(path)
		alone(t, path)
	}
	if moved < 50 {
		t.Errorf("only %d of 60 processes wrote before they were killed", moved)
	}
	t.Logf("%d temporary files were swept away", left)
}

// TestSweepTakesItsOwnOnly: what others put beside the file stays.
func TestSweepTakesItsOwnOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	kept := []string{"keys", ".keys.", ".keys.12a", ".keys.old", ".key.123", "keys.123", ".other.123"}
	for _, name := range append(kept, ".keys.123", ".keys.4294967295") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".keys.5"), 0o700); err != nil {
		t.Fatal(err)
	}
	Sweep(path)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(kept)+1 {
		t.Errorf("%v, %v", entries, err)
	}
	Sweep(filepath.Join(dir, "missing", "keys")) // nothing to do, and no harm
}
