package seccomp

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rule allows a system call: with any arguments, or with those of which one,
// masked, is among some values.
type Rule struct {
	Call uintptr
	// Arg is the argument that is looked at, from 0 on, if Among has a value.
	// Its lower 32 bits are: it must be one of which the kernel takes no more.
	Arg uint32
	// Mask are the bits of it that count, 0 for all.
	Mask  uint32
	Among []uint32
}

// Where the data of a call lie, in octets: its number, its architecture, and
// the lower halves of its arguments, in the order of octets of all
// architectures that are supported.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16
)

// Program is a filter that gives all calls that no rule allows an error of the
// kernel's, and kills who calls as another architecture does. Where our numbers
// are not told from those of others it is errors.ErrUnsupported.
func Program(rules []Rule, refusal unix.Errno) ([]unix.SockFilter, error) {
	if auditArch == 0 {
		return nil, errors.ErrUnsupported
	}
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		and   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		end   = unix.BPF_RET | unix.BPF_K
	)
	allow := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW}
	refuse := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(refusal)}
	p := []unix.SockFilter{
		{Code: load, K: atArch}, {Code: equal, K: auditArch, Jt: 1}, {Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: atNumber},
	}
	for _, r := range rules {
		var verdict []unix.SockFilter
		if len(r.Among) > 0 {
			verdict = append(verdict, unix.SockFilter{Code: load, K: atArgs + 8*r.Arg})
			if r.Mask != 0 {
				verdict = append(verdict, unix.SockFilter{Code: and, K: r.Mask})
			}
			for i, v := range r.Among {
				verdict = append(verdict, unix.SockFilter{Code: equal, K: v, Jt: uint8(len(r.Among) - i)})
			}
			verdict = append(verdict, refuse)
		}
		verdict = append(verdict, allow)
		if len(verdict) > 255 {
			return nil, fmt.Errorf("%d values of an argument are too many", len(r.Among))
		}
		p = append(append(p, unix.SockFilter{Code: equal, K: uint32(r.Call), Jf: uint8(len(verdict))}), verdict...)
	}
	if p = append(p, refuse); len(p) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("%d instructions are too many for a filter of system calls", len(p))
	}
	return p, nil
}

// AllThreads installs a filter in all threads of the process, whoever made
// them. This one must have given up new privileges, or may do everything.
func AllThreads(program []unix.SockFilter) error {
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	stray, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&f)))
	switch {
	case errno != 0:
		return os.NewSyscallError("seccomp", errno)
	case stray != 0:
		return fmt.Errorf("seccomp: thread %d has another filter", stray)
	}
	return nil
}

// ThisThread installs a filter in the thread of the caller, who has locked it.
func ThisThread(program []unix.SockFilter) error {
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("prctl(PR_SET_SECCOMP)", unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&f)), 0, 0))
}
