package logging

import (
	"fmt"
	"os"
	"syscall"
)

// isStream reports whether a file is the one of a device and inode.
func isStream(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", st.Dev, st.Ino) == stream
}
