//go:build linux && !amd64 && !arm64

package privilege

// unfiltered are all system calls: there is no filter.
func unfiltered() []string { return []string{"all"} }
