//go:build unix

package state

import (
	"io/fs"
	"os"
	"syscall"
)

// ours reports whether a file belongs to this process' user or to root.
func ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int64(s.Uid) == int64(os.Geteuid()))
}
