//go:build amd64 || arm64

package privilege

import (
	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/seccomp"
)

// calls are the system calls of a process that serves what it has open: those
// of the Go runtime, its network poller and TLS on both architectures. All
// others get ENOSYS, as from an old kernel: the runtime works on Linux 3.2 and
// does without what is younger, so that one which calls something new for a
// better way finds its old one. That has to be in the list.
//
// None of them names a file, makes a socket or gives one a peer, or a process.
// Landlock alone does not keep a process from the mode and the owner of a file,
// nor, before its version 9, from sockets with a name in the file system.
func calls(pid int) []seccomp.Rule {
	var rules []seccomp.Rule
	for _, call := range []uintptr{
		unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EPOLL_PWAIT, unix.SYS_NANOSLEEP, // the busiest
		unix.SYS_ACCEPT4, unix.SYS_CLOSE, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_FSTAT,
		unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
		unix.SYS_MADVISE, unix.SYS_MUNMAP, unix.SYS_MINCORE,
		unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETRANDOM, unix.SYS_UNAME,
		unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	} {
		rules = append(rules, seccomp.Rule{Call: call})
	}
	self := []uint32{uint32(pid)}
	return append(rules,
		// Threads, but no processes.
		seccomp.Rule{Call: unix.SYS_CLONE, Arg: 0, Mask: unix.CLONE_THREAD, Among: []uint32{unix.CLONE_THREAD}},
		// Signals to itself: the runtime interrupts its threads by them.
		seccomp.Rule{Call: unix.SYS_TGKILL, Arg: 0, Among: self},
		seccomp.Rule{Call: unix.SYS_KILL, Arg: 0, Among: self},
		// Memory, but none that can be executed.
		seccomp.Rule{Call: unix.SYS_MMAP, Arg: 2, Mask: unix.PROT_EXEC, Among: []uint32{0}},
		seccomp.Rule{Call: unix.SYS_MPROTECT, Arg: 2, Mask: unix.PROT_EXEC, Among: []uint32{0}},
		// Duplicates and flags of descriptors, but none that signals somebody.
		seccomp.Rule{Call: unix.SYS_FCNTL, Arg: 1, Among: []uint32{unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD}},
		// How connections live and end. Options of other layers share these
		// numbers, which is as well: there is no filter of packets among them,
		// that would outlive it in the sockets that it shares.
		seccomp.Rule{Call: unix.SYS_SETSOCKOPT, Arg: 2, Among: []uint32{
			unix.TCP_NODELAY, unix.SO_KEEPALIVE, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT, unix.SO_LINGER,
		}},
		// Names of memory and of threads. It may ask whether it is dumped.
		seccomp.Rule{Call: unix.SYS_PRCTL, Arg: 0, Among: []uint32{unix.PR_SET_VMA, unix.PR_SET_NAME, unix.PR_GET_DUMPABLE}},
	)
}
