package main

import (
	"bytes"
	"context"

	"os/exec"
	"strings"
	"testing"
	"time"
)

// binaries builds the commands and changes to the root of the project, from
// where the demonstration runs.
func binaries(t *testing.T) string {
	t.Helper()
	t.Chdir("../..")
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/ntp-daemon", "./cmd/nts-pool-ke", "./cmd/ntp-ctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the commands: %v\n%s", err, out)
	}
	return dir
}

func TestDemoSynchronises(t *testing.T) {
	bin := binaries(t)
	ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
	defer cancel()
	var out bytes.Buffer
	offset, err := run(ctx, &out, bin, true)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if offset.Abs() > goal {
		t.Errorf("%v off", offset)
	}
	for _, want := range []string{"Synchronised: 2 sources", "8/8", "asked from outside", "wrote records for client"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the terminal never showed %q:\n%s", want, out.String())
		}
	}
}

// Without the pool there is nobody to synchronise to, and the demonstration
// must not end well.
func TestDemoWithoutThePoolFails(t *testing.T) {
	bin := binaries(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var out bytes.Buffer
	offset, err := run(ctx, &out, bin, false)
	if err == nil {
		t.Fatalf("synchronised to %v without a pool:\n%s", offset, out.String())
	}
	if !strings.Contains(out.String(), "refused") {
		t.Errorf("the status does not say why:\n%s", out.String())
	}
}
