package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

// configuration reads the file as the daemon would.
func (e *exam) configuration() {
	path := absolute(e.Config)
	data, err := os.ReadFile(path)
	if err != nil {
		fix := "make the file, or name another with -c"
		if errors.Is(err, fs.ErrPermission) {
			fix = "let this user read it, or run as root"
		}
		e.fail("config", path, "cannot be read: "+cause(err), "a configuration", fix)
		return
	}
	e.data = data
	cfg, problems := config.Parse(path, data)
	for _, p := range problems {
		e.fail("config", p.Pos.String(), strings.TrimPrefix(p.Key+": ", ": ")+p.Text, "", p.Hint)
	}
	for _, u := range cfg.Refusals() {
		e.fail("config", u.Pos.String(), u.Key+": "+u.Text, "keys that this version can honour", "the daemon does not start with it: change the key")
	}
	if len(problems) > 0 {
		return
	}
	e.cfg = cfg
	e.warnings(cfg)
	if info, err := os.Stat(path); err == nil {
		if w, open := config.ModeWarning(path, uint32(info.Mode().Perm())); open {
			e.warn("permissions", path, fmt.Sprintf("mode %04o: any user can change the configuration", info.Mode().Perm()), "not writable for others", "chmod o-w "+path)
			_ = w
		}
	}
	if first, bad := e.report.First(); !bad || first.Check != "config" {
		e.ok("config", path, fmt.Sprintf("%d sources, %d NTP servers, %d key-exchange servers", len(cfg.Sources), len(cfg.Servers), len(cfg.NTSKEServers)))
	}
}

// warnings passes on what the configuration's own checks find, but for the
// number of sources and who of them can vote, which is measured later.
func (e *exam) warnings(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		never := w.FailsValidate && w.Key == "synchronization.nts-selection"
		if w.Info || never || w.Key == "synchronization.minimum-agreeing-sources" {
			continue
		}
		e.warn("config", w.Pos.String(), strings.TrimPrefix(w.Key+": ", ": ")+w.Text, "", "")
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// cause leaves out the path, which the line already names.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
