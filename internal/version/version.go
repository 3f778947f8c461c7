// Package version says which build this is.
package version

import (
	"runtime/debug"
	"strings"
)

// Release is the version of the suite.
const Release = "0.1.0"

// Commit returns the revision and the day it was made, or "-" for each when
// the build does not know. A modified tree has the suffix "-dirty".
func Commit() (revision, date string) {
	revision, date = "-", "-"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return revision, date
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.time":
			date, _, _ = strings.Cut(s.Value, "T")
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && revision != "-" {
		revision += "-dirty"
	}
	return revision, date
}
