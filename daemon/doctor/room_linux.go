package doctor

import "golang.org/x/sys/unix"

// noRoom says that nothing more can be written to the file system of a
// directory, or nothing.
func noRoom(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "" // what cannot be asked is not known to be full
	}
	switch {
	case st.Blocks > 0 && st.Bavail == 0:
		return full
	case st.Files > 0 && st.Ffree == 0:
		return full + " (no inode is free)"
	default:
		return ""
	}
}
