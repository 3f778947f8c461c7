package seccomp

import "golang.org/x/sys/unix"

// auditArch is what the kernel calls this architecture.
const auditArch = unix.AUDIT_ARCH_AARCH64
