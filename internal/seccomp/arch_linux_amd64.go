package seccomp

import "golang.org/x/sys/unix"

// auditArch is what the kernel calls this architecture. The numbers of x32 have
// a bit that no call of ours has.
const auditArch = unix.AUDIT_ARCH_X86_64
