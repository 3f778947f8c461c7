package privilege

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Confine gives up everything but what is needed, in all threads of the
// process and for good. Where the kernel has no Landlock, or fails to restrict
// files, the rest is done all the same. Call it once everything is bound and
// read.
//
// Of a program built with cgo not all threads can be changed: it is ErrThreads,
// and nothing was given up.
func Confine(n Needs) (Result, error) {
	privileges := noNewPrivileges()
	if errors.Is(privileges, ErrThreads) {
		return Result{}, privileges
	}
	version, files := restrictFiles(n)
	left, capabilities := dropCapabilities(n)
	return Result{Capabilities: left, Landlock: version}, errors.Join(privileges, files, capabilities)
}

// Isolate leaves a process what it has open and nothing else: no capability, no
// file, no other socket, no program to start and no signal to others, as far as
// the kernel can. Landlock and a filter of system calls both see to it, so that
// one does where the other is missing. Its memory is not dumped, and nobody
// reads it but who has CAP_SYS_PTRACE. It is Confine otherwise.
func Isolate() (Result, error) {
	got, err := enclose()
	if errors.Is(err, ErrThreads) {
		return got, err
	}
	var calls error
	got.Filtered, calls = restrictCalls() // the last: it ends what the rest calls
	return got, errors.Join(err, calls)
}

// enclose is Isolate without the filter of system calls.
func enclose() (Result, error) {
	privileges := noNewPrivileges()
	if errors.Is(privileges, ErrThreads) {
		return Result{}, privileges
	}
	dump := os.NewSyscallError("prctl(PR_SET_DUMPABLE)", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)) // of all threads
	version, files := restrict(
		landlock.AccessFSSet(everything|ll.AccessFSResolveUnix), landlock.AccessNetSet(ll.AccessNetBindTCP|ll.AccessNetConnectTCP),
		landlock.ScopedSet(ll.ScopeAbstractUnixSocket|ll.ScopeSignal))
	left, capabilities := dropCapabilities(Needs{})
	return Result{Capabilities: left, Landlock: version}, errors.Join(privileges, dump, files, capabilities)
}

func noNewPrivileges() error {
	return allThreads("prctl(PR_SET_NO_NEW_PRIVS)", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// allThreads makes a system call in every thread. Pointers among the arguments
// stay where they are.
//
//go:uintptrescapes
func allThreads(what string, trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		if errno == syscall.ENOTSUP {
			return fmt.Errorf("%s: %w", what, ErrThreads)
		}
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// What may be done to files.
const (
	toExecute = ll.AccessFSExecute | ll.AccessFSReadFile
	toRead    = ll.AccessFSReadFile | ll.AccessFSReadDir
	toWrite   = toRead | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSMakeSock |
		ll.AccessFSMakeDir | ll.AccessFSRemoveFile
	// toFiles is what can be done to a file that is no directory.
	toFiles = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	// everything there was to a file in version 5 of Landlock.
	everything = 1<<16 - 1
)

// restrictFiles restricts files and the TCP ports that may be listened on, as
// far as the kernel can, and returns the version of its Landlock.
func restrictFiles(n Needs) (int, error) {
	return restrict(landlock.AccessFSSet(everything), landlock.AccessNetSet(ll.AccessNetBindTCP), landlock.ScopedSet(0), slices.Concat(
		allow(toRead, System), allow(toRead, n.Read), allow(toWrite, n.Write), allow(toExecute, n.Execute))...)
}

// allow are the rules that allow something to files and what is in directories.
// What cannot be found now is left out: one such path must not cost all rules.
func allow(rights landlock.AccessFSSet, paths []string) []landlock.Rule {
	var directories, files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			directories = append(directories, path)
		default:
			files = append(files, path)
		}
	}
	return []landlock.Rule{
		landlock.PathAccess(rights, directories...).IgnoreIfMissing(),
		landlock.PathAccess(rights&toFiles, files...).IgnoreIfMissing(), // the kernel takes no others
	}
}

// restrict restricts what the sets say, but for the rules.
func restrict(files landlock.AccessFSSet, net landlock.AccessNetSet, scopes landlock.ScopedSet, rules ...landlock.Rule) (int, error) {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return 0, nil // no Landlock here
	}
	cfg, err := landlock.NewConfig(files, net, scopes)
	if err != nil {
		return 0, fmt.Errorf("landlock: %w", err)
	}
	if err := cfg.BestEffort().Restrict(rules...); err != nil {
		return 0, fmt.Errorf("landlock: %w", err)
	}
	return version, nil
}

// names of the capabilities that may be kept.
var names = map[uint]string{unix.CAP_SYS_TIME: "CAP_SYS_TIME", unix.CAP_NET_BIND_SERVICE: "CAP_NET_BIND_SERVICE"}

// dropCapabilities keeps those capabilities that are needed and there, in the
// permitted and effective sets, and none in the others.
func dropCapabilities(n Needs) ([]string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return nil, fmt.Errorf("capget: %w", err)
	}
	var keep [2]unix.CapUserData
	var left []string
	for _, c := range []struct {
		bit    uint
		needed bool
	}{{unix.CAP_SYS_TIME, n.SetTime}, {unix.CAP_NET_BIND_SERVICE, n.Bind}} {
		set, mask := c.bit/32, uint32(1)<<(c.bit%32)
		if c.needed && have[set].Permitted&mask != 0 {
			keep[set].Permitted |= mask
			keep[set].Effective |= mask
			left = append(left, names[c.bit])
		}
	}
	limited := limit()
	err := allThreads("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&keep[0])), 0)
	return left, errors.Join(limited, err)
}

// limit takes from the bounding set and the ambient set what they have, so
// that no program that is started has any. It needs CAP_SETPCAP for the first:
// without it no new privileges already means that none is gained.
func limit() error {
	err := allThreads("prctl(PR_CAP_AMBIENT)", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil && !errors.Is(err, syscall.EINVAL) { // a kernel before 4.3 has no such set
		return err
	}
	for c := range uintptr(64) {
		there, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // beyond the last
		}
		if there == 0 {
			continue
		}
		if err := allThreads("prctl(PR_CAPBSET_DROP)", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); err != nil {
			if errors.Is(err, syscall.EPERM) {
				return nil
			}
			return err
		}
	}
	return nil
}
