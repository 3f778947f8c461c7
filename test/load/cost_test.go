package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// What this process computes is found in what it spent, and it holds memory.
func TestCost(t *testing.T) {
	before, err := processorTime(os.Getpid())
	if err != nil {
		t.Skip(err)
	}
	var cost time.Duration
	for x := uint64(1); cost < time.Millisecond; x *= 3 {
		after, err := processorTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		cost = after - before
	}
	if kib := resident(os.Getpid()); kib < 1000 {
		t.Errorf("%d KiB", kib)
	}
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("a process that does not exist has a cost")
	}
}

func TestProcessesIncludeChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if all := lab.Family(os.Getpid()); all[0] != os.Getpid() || !slices.Contains(all, cmd.Process.Pid) {
		t.Errorf("%v, without %d", all, cmd.Process.Pid)
	}
}
