//go:build unix

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// askKernel asks what this process may do. It knows more than modes say:
// read-only file systems, access lists, capabilities.
func askKernel(path string, want access) string {
	err := unix.Access(path, uint32(want))
	switch {
	case err == nil:
		return ""
	case errors.Is(err, unix.EROFS):
		return readOnly
	default:
		return err.Error()
	}
}

// byMode judges by owner, group and mode, for another user.
func (who identity) byMode(info fs.FileInfo, want access) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || who.uid == 0 {
		return ""
	}
	mode := access(info.Mode().Perm())
	switch {
	case int(st.Uid) == who.uid:
		mode >>= 6
	case slices.Contains(who.gids, int(st.Gid)):
		mode >>= 3
	}
	if mode&want == want {
		return ""
	}
	return fmt.Sprintf("permission denied: it belongs to %s with mode %04o", userName(int(st.Uid)), info.Mode().Perm())
}
