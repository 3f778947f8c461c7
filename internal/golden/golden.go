// Package golden compares what a test makes with a file that a person has read.
package golden

import (
	"bytes"
	"os"
	"testing"
)

// Compare fails the test unless the file holds what it got. With update, which
// is a flag of the test, it is written instead.
func Compare(t testing.TB, update bool, file string, got []byte) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; if that is meant, run go test with -update\n%s", file, got)
	}
}
