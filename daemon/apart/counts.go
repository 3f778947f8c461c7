package apart

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Counts are how the exchanges of one section came out, by ke.Kind.
type Counts [ke.Kinds]atomic.Uint64

// makeCounts makes memory for the counts of n sections, as a file without a
// name that another process can map. Its size is sealed: who shrank it would
// kill whoever looks at it.
func makeCounts(n int) (*os.File, []Counts, error) {
	const name = "ntp-daemon key exchange"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err = f.Truncate(int64(countsLen(n))); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	var counts []Counts
	if err == nil {
		counts, err = mapCounts(f, n)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("memory for counts: %w", err)
	}
	return f, counts, nil
}

// mapCounts maps the counts of n sections, until the process ends.
func mapCounts(f *os.File, n int) ([]Counts, error) {
	memory, err := unix.Mmap(int(f.Fd()), 0, countsLen(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return unsafe.Slice((*Counts)(unsafe.Pointer(&memory[0])), n), nil
}

// countsLen is the size of the counts of n sections in octets.
func countsLen(n int) int { return n * int(unsafe.Sizeof(Counts{})) }
