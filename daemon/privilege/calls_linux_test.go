//go:build amd64 || arm64

package privilege

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// unfiltered are those of some system calls that reach the kernel. None of
// them has arguments with which it could do anything.
func unfiltered() []string {
	const none = ^uintptr(0)
	nobody := uintptr(os.Getppid()) // by signal 0
	var reached []string
	for _, c := range []struct {
		name   string
		number uintptr
		args   [6]uintptr
	}{
		{"socket", unix.SYS_SOCKET, [6]uintptr{none}},
		{"socketpair", unix.SYS_SOCKETPAIR, [6]uintptr{none}},
		{"connect", unix.SYS_CONNECT, [6]uintptr{none}},
		{"bind", unix.SYS_BIND, [6]uintptr{none}},
		{"listen", unix.SYS_LISTEN, [6]uintptr{none}},
		{"shutdown", unix.SYS_SHUTDOWN, [6]uintptr{none}},
		{"sendto, which opens TCP connections too", unix.SYS_SENDTO, [6]uintptr{none, 0, 0, unix.MSG_FASTOPEN}},
		{"sendmsg", unix.SYS_SENDMSG, [6]uintptr{none}},
		{"sendmmsg", unix.SYS_SENDMMSG, [6]uintptr{none}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [6]uintptr{}},
		{"execve", unix.SYS_EXECVE, [6]uintptr{}},
		{"execveat", unix.SYS_EXECVEAT, [6]uintptr{none}},
		{"clone of a process", unix.SYS_CLONE, [6]uintptr{unix.CLONE_SIGHAND}},
		{"clone3", unix.SYS_CLONE3, [6]uintptr{}},
		{"unshare", unix.SYS_UNSHARE, [6]uintptr{}},
		{"setns", unix.SYS_SETNS, [6]uintptr{none}},
		{"mount", unix.SYS_MOUNT, [6]uintptr{}},
		{"openat", unix.SYS_OPENAT, [6]uintptr{none}},
		{"openat2", unix.SYS_OPENAT2, [6]uintptr{none}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [6]uintptr{none}},
		{"fchmodat", unix.SYS_FCHMODAT, [6]uintptr{none}},
		{"fchownat", unix.SYS_FCHOWNAT, [6]uintptr{none}},
		{"setxattr", unix.SYS_SETXATTR, [6]uintptr{}},
		{"utimensat", unix.SYS_UTIMENSAT, [6]uintptr{none}},
		{"memfd_create", unix.SYS_MEMFD_CREATE, [6]uintptr{}},
		{"ptrace", unix.SYS_PTRACE, [6]uintptr{none, none}},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [6]uintptr{none}},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [6]uintptr{none}},
		{"pidfd_open", unix.SYS_PIDFD_OPEN, [6]uintptr{none}},
		{"prlimit64 of another", unix.SYS_PRLIMIT64, [6]uintptr{nobody, none}},
		{"kill of another", unix.SYS_KILL, [6]uintptr{nobody}},
		{"tgkill of another", unix.SYS_TGKILL, [6]uintptr{nobody, nobody}},
		{"tkill", unix.SYS_TKILL, [6]uintptr{nobody}},
		{"fcntl with signals", unix.SYS_FCNTL, [6]uintptr{none, unix.F_SETOWN}},
		{"setsockopt with a filter", unix.SYS_SETSOCKOPT, [6]uintptr{none, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}},
		{"setsockopt with a connection", unix.SYS_SETSOCKOPT, [6]uintptr{none, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT}},
		{"ioctl", unix.SYS_IOCTL, [6]uintptr{none}},
		{"mmap of code", unix.SYS_MMAP, [6]uintptr{0, 0, unix.PROT_READ | unix.PROT_EXEC}},
		{"mprotect of code", unix.SYS_MPROTECT, [6]uintptr{1, 0, unix.PROT_READ | unix.PROT_EXEC}},
		{"prctl with privileges", unix.SYS_PRCTL, [6]uintptr{unix.PR_SET_DUMPABLE, none}},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, [6]uintptr{none}},
		{"seccomp", unix.SYS_SECCOMP, [6]uintptr{none}},
		{"what is not there yet", 1 << 20, [6]uintptr{}},
		{"what another architecture calls getpid", 1<<30 | unix.SYS_GETPID, [6]uintptr{}},
	} {
		if _, _, errno := syscall.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5]); errno != syscall.ENOSYS {
			reached = append(reached, c.name)
		}
	}
	return reached
}
