// Package version says which build this is.
package version

import (
	"runtime/debug"
	"strings"
	"time"
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

// epoch is a time before which no build of this release was made.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// Floor is a time that is past wherever this build runs: a day before its
// commit was made, in case that machine's clock was fast, or if the build does
// not know, some time before the release.
func Floor() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return epoch
	}
	return floor(info.Settings)
}

func floor(settings []debug.BuildSetting) time.Time {
	for _, s := range settings {
		if s.Key != "vcs.time" {
			continue
		}
		if made, err := time.Parse(time.RFC3339, s.Value); err == nil && made.AddDate(0, 0, -1).After(epoch) {
			return made.AddDate(0, 0, -1)
		}
	}
	return epoch
}
