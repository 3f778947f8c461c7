package config

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares text with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it):\n%s", file, got)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	const file = "testdata/everything-wrong.toml"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := Parse("everything-wrong.toml", data)
	golden(t, "testdata/everything-wrong.golden", problems.Error()+"\n")
}
