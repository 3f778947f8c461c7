package monitor

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Slack is how much longer than it wants to the monitor sleeps, at most: what
// it sleeps at the longest anyway.
const Slack = 10 * time.Millisecond

// Calm lets the monitor wake up with the ticks of the kernel's clock, once in a
// few milliseconds, instead of with a timer of its own. It is for programs
// whose system calls do not wait: one that does keeps the place of a goroutine
// for up to Slack longer. Where the kernel does not do it, or the program was
// built with cgo, nothing changes. Call it before runtime.LockOSThread.
//
// The kernel may end a thread's sleep late by the thread's slack. The monitor is
// the one thread that runs no goroutines: all threads get the slack, and then
// those that goroutines run on get their own back.
func Calm() {
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(Slack), 0); errno != 0 {
		return
	}
	restore := func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(own), 0, 0, 0) }
	restore()
	// The first LockOSThread makes a thread that makes the threads of goroutines
	// that are locked, with its own slack, and does nothing else.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore()
	defer oneAtATime()()
	onThreads(threads()-3, restore) // without the monitor, the maker and this one
}

// oneAtATime lets one thread run at a time, so that none looks for work when it
// is to rest, until the func that it returns is called.
func oneAtATime() (until func()) {
	before := runtime.GOMAXPROCS(1)
	return func() {
		if os.Getenv("GOMAXPROCS") == "" {
			runtime.SetDefaultGOMAXPROCS() // follows what the process may use
			return
		}
		runtime.GOMAXPROCS(before)
	}
}

// threads is how many there are. /proc would say it too, where it is there and
// may be read.
func threads() int {
	n, _ := runtime.ThreadCreateProfile(nil)
	return n
}

// onThreads does something on n threads besides that of the caller, which is
// locked. Those that rest are taken before any is made.
func onThreads(n int, do func()) {
	var there, done sync.WaitGroup
	there.Add(max(n, 0))
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			do()
			there.Done()
			there.Wait()
		})
	}
	done.Wait()
}
