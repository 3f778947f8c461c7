package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// places collects what is wrong with files that the daemon would write. Nothing
// is made or changed.
type places struct {
	warnings []config.Warning
	problems config.Problems
}

// checkPlaces looks where the daemon would write. What would end it is a
// problem. Whether it may write there is only known for the user who asks, who
// need not be the daemon's: that is a warning.
func checkPlaces(c *config.Config) (warnings []config.Warning, problems config.Problems) {
	var p places
	o := &c.Observability
	if o.LogPath != "" {
		p.log(o.At("log-path"), o.LogPath)
	}
	if len(c.Servers)+len(c.NTSKEServers) > 0 && c.Keyset.KeyStoragePath != "" {
		p.keys(c.Keyset.At("key-storage-path"), c.Keyset.KeyStoragePath)
	}
	if o.Has("observation-path") && o.ObservationPath != "" {
		p.directory(o.At("observation-path"), "observability.observation-path", o.ObservationPath, "no socket could be made")
	}
	if s := &c.Synchronization; s.Has("state-path") && s.StatePath != "" && s.UpdateSystemClock && len(c.Sources) > 0 {
		p.directory(s.At("state-path"), "synchronization.state-path", s.StatePath, "the clock's frequency could not be kept")
	}
	if s := &c.Synchronization; s.Has("nts-state-path") && s.NTSStatePath != "" && slices.ContainsFunc(c.Sources, func(s config.Source) bool { return s.Mode.Keyed() }) {
		p.directory(s.At("nts-state-path"), "synchronization.nts-state-path", s.NTSStatePath, "keys and cookies could not be kept")
	}
	return p.warnings, p.problems
}

func (p *places) warn(pos config.Pos, key, format string, args ...any) *config.Warning {
	p.warnings = append(p.warnings, config.Warning{Pos: pos, Key: key, Text: fmt.Sprintf(format, args...)})
	return &p.warnings[len(p.warnings)-1]
}

// log looks at a log file, which is made where there is none; the daemon does
// not start without.
func (p *places) log(pos config.Pos, name string) {
	const key = "observability.log-path"
	path := absolute(name)
	target := path
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		p.problems = append(p.problems, config.Problem{Pos: pos, Key: key, Text: path + " is a directory", Hint: "name a file in it"})
		return
	case err != nil:
		target = filepath.Dir(path)
		if info, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
			p.problems = append(p.problems, config.Problem{Pos: pos, Key: key, Text: fmt.Sprintf("%s cannot be made: there is no directory %s", path, target), Hint: "make it, or name another file"})
			return
		}
	}
	p.writable(pos, key, target, "the daemon does not start where it may not")
}

// keys looks at the file of cookie keys.
func (p *places) keys(pos config.Pos, name string) {
	const key = "keyset.key-storage-path"
	path := absolute(name)
	data, err := state.ReadFile(path, maxKeyFile)
	if err == nil {
		_, _, err = cookie.Parse(data)
		clear(data)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if w := p.directory(pos, key, name, "the keys could not be kept"); w != nil {
			w.FailsValidate = true
			return
		}
	case errors.Is(err, fs.ErrPermission):
		p.warn(pos, key, "%v for this user; the daemon's needs to read it", err)
		return
	case err != nil:
		p.warn(pos, key, "%s cannot be used (%v): the keys would be kept in memory only; move it away, or name another file", path, err).FailsValidate = true
		return
	case state.Exposed(path):
		p.warn(pos, key, "%s can be read or written by others; run chmod 600 on it", path)
	}
	p.writable(pos, key, filepath.Dir(path), "the keys are not kept where it may not")
}

// directory warns of a file whose directory is not there. A service manager may
// make it at the start.
func (p *places) directory(pos config.Pos, key, name, otherwise string) *config.Warning {
	dir := filepath.Dir(absolute(name))
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return p.warn(pos, key, "there is no directory %s now: without it %s; make it, or name another file", dir, otherwise)
	}
	return nil
}

// writable warns of a file or directory that this user may not write to.
func (p *places) writable(pos config.Pos, key, path, otherwise string) {
	const write = 2 // W_OK
	switch err := syscall.Access(path, write); {
	case err == nil:
	case errors.Is(err, syscall.EROFS):
		p.warn(pos, key, "%s is on a file system that is read-only; name another file", path).FailsValidate = true
	default:
		p.warn(pos, key, "this user may not write to %s (%v); the daemon's must, and %s", path, err, otherwise)
	}
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}
