package cli

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

// Another file is no remedy for the right one that may not be read.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.ENOENT, "open /a.toml: no such file or directory; name another with -c"},
		{syscall.EISDIR, "open /a.toml: is a directory; name another with -c"},
		{syscall.EACCES, "open /a.toml: permission denied; let this user read it and enter every directory above it, or run as root"},
	} {
		got := Unreadable(&fs.PathError{Op: "open", Path: "/a.toml", Err: c.err}, NameAnother)
		if got.Error() != c.want || !errors.Is(got, c.err) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
