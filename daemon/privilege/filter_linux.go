package privilege

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/seccomp"
)

// restrictCalls leaves all threads the system calls of a process that serves
// what it has open, and reports whether the kernel can.
func restrictCalls() (bool, error) {
	program, err := seccomp.Program(calls(os.Getpid()), unix.ENOSYS)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = seccomp.AllThreads(program)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		// Filters of services know the older call, and may not know this one.
		f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		err = allThreads("prctl(PR_SET_SECCOMP)", unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&f)))
	}
	if errors.Is(err, unix.EINVAL) { // a kernel without filters
		return false, nil
	}
	return err == nil, err
}
