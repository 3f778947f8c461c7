package lab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Inside runs f on a thread that is in the host's network namespace: sockets that f itself opens belong to the host for
// as long as they live, whoever uses them later. f must not leave the opening to other goroutines. The thread ends with f.
func (h *Host) Inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: no other goroutine gets this thread
		done <- h.inside(f)
	}()
	return <-done
}

func (h *Host) inside(f func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.holder.Process.Pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace of %s: %w", h.Name, err)
	}
	return f()
}
