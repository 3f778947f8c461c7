package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// own is the slack of all threads before Calm.
var own, _ = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)

// resting is how many threads have run a goroutine before Calm.
const resting = 12

func TestMain(m *testing.M) {
	makeThreads()
	Calm()
	m.Run()
}

// makeThreads has goroutines wait in system calls until there are threads for
// all of them, without LockOSThread, which a program does not call before Calm.
func makeThreads() {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	var done sync.WaitGroup
	for range resting {
		done.Go(func() { _, _ = unix.Read(pipe[0], make([]byte, 1)) })
	}
	for threads() < resting {
		runtime.Gosched()
	}
	_ = unix.Close(pipe[1]) // ends all of them
	done.Wait()
	_ = unix.Close(pipe[0])
}

// One thread gets the slack, and goroutines run on none that has it, but for one
// that the monitor may have made itself meanwhile.
func TestOnlyTheMonitorSleepsLonger(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno != 0 {
		t.Skip("a program with cgo cannot change its threads:", errno)
	}
	const many = 2 * resting // those that rested, and new ones
	var there, done sync.WaitGroup
	var wrong atomic.Int32
	there.Add(many)
	for range many {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
			if got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); got != own || err != nil {
				wrong.Add(1)
			}
		})
	}
	done.Wait()
	if wrong.Load() > 1 {
		t.Errorf("%d of %d goroutines run on threads with another slack than %d ns", wrong.Load(), many, own)
	}
	found := map[string]int{}
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range all {
		text, err := os.ReadFile(filepath.Join("/proc", thread.Name(), "timerslack_ns"))
		if errors.Is(err, os.ErrPermission) {
			t.Skip("who may not change another thread's slack cannot see it:", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSpace(string(text))]++
	}
	if n := found[fmt.Sprint(int64(Slack))]; n < 1 || n > 2 {
		t.Errorf("slack of all threads: %v", found)
	}
}
