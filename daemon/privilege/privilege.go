// Package privilege gives up what a running daemon does not need: capabilities,
// the hope of new ones, and on kernels with Landlock all files but its own and
// all TCP ports to listen on. Whoever breaks into the daemon after the start
// has what is left.
package privilege

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// Needs is what is still needed.
type Needs struct {
	// SetTime is to steer the system's clock.
	SetTime bool
	// Bind is to open sockets at ports below 1024.
	Bind bool
	// Read are the files that may be read later: whole directories, so that a
	// file that is replaced can still be read. They need not exist.
	Read []string
	// Write are the directories in which files and sockets are made,
	// replaced and removed.
	Write []string
	// Execute are the programs that may be started.
	Execute []string
}

// Result is what was given up.
type Result struct {
	// Capabilities are those that are left, by name.
	Capabilities []string
	// Landlock is the version of the kernel's Landlock that is in force, 0 for
	// none.
	Landlock int
	// Filtered is whether system calls are filtered.
	Filtered bool
}

// ErrThreads is that of a program built with cgo, whose threads are not all
// known: none of its privileges can be given up for good.
var ErrThreads = errors.New("the program was built with cgo, and not all of its threads can be changed")

// System are directories of the system that resolvers, certificate
// authorities and the Go runtime need to read.
var System = []string{
	"/etc", "/usr/share", "/usr/local/share", "/usr/lib/ssl", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	"/var/lib/ca-certificates", "/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage",
}

// Around are the directories from which a file is read: that of its path, and
// wherever symbolic links lead. An empty path has none.
func Around(path string) []string {
	if path == "" {
		return nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	dirs := []string{filepath.Dir(abs)}
	for range 16 {
		to, err := os.Readlink(abs)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(abs), to)
		}
		abs = to
		dirs = append(dirs, filepath.Dir(abs))
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
