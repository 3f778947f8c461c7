package lab

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// What this process computes is found in what it spent, and it holds memory.
func TestUsage(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Skip(err)
	}
	var cost time.Duration
	for x := uint64(1); cost < time.Millisecond; x *= 3 {
		after, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		cost = after - before
	}
	if n, err := Memory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d octets, %v", n, err)
	}
	if _, err := CPU(1 << 30); err == nil {
		t.Error("a process that does not exist has a cost")
	}
}

// What a program started is counted with it.
func TestUsageIncludesChildren(t *testing.T) {
	alone, err := Memory(os.Getpid())
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if all := Family(os.Getpid()); all[0] != os.Getpid() || !slices.Contains(all, cmd.Process.Pid) {
		t.Errorf("%v, without %d", all, cmd.Process.Pid)
	}
	own, err := Memory(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if both, err := Memory(os.Getpid()); err != nil || both <= alone/2+own {
		t.Errorf("%d octets (%v), %d alone, of the child %d", both, err, alone, own)
	}
}
