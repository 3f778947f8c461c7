package cli

import (
	"errors"
	"fmt"
	"io/fs"
)

// Unreadable says why a file cannot be read and what to do about it. missing
// is the remedy if the file is not there, or is not the right one.
func Unreadable(err error, missing string) error {
	remedy := missing
	if errors.Is(err, fs.ErrPermission) {
		remedy = "let this user read it and enter every directory above it, or run as root"
	}
	return fmt.Errorf("%w; %s", Absolute(err), remedy)
}

// NameAnother is the remedy for a configuration that is not there.
const NameAnother = "name another with -c"
