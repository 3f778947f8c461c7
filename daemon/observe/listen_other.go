//go:build !unix || solaris || aix

package observe

import (
	"io/fs"
	"syscall"
)

// restrict does nothing: the permissions come after.
func restrict(syscall.RawConn, fs.FileMode) error { return nil }

// alone does not wait.
func alone(string) (release func()) { return func() {} }
