package state

import (
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes the temporary files that writers of a file left beside it when
// they were killed. Call it at the start, before the first WriteFile: a write
// of another process that is under way fails then, and leaves the old content.
// What cannot be removed stays; it does no harm.
func Sweep(path string) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		random, ours := strings.CutPrefix(e.Name(), prefix)
		if ours && random != "" && strings.Trim(random, "0123456789") == "" && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
