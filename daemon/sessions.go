package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// sessions is the file that keeps keys and unused cookies of NTS sources across
// restarts. An empty path keeps nothing. One goroutine uses it.
//
// A cookie is in the file or in use, never both: the engine sets aside what it
// has stored (see engine.Keep), and claim takes out of the file what it hands
// over, for good, before it does so.
type sessions struct {
	path string
	log  *slog.Logger
	// trust names the authorities of a file as they are now.
	trust func(authority string) string
	mute  bool // the last write failed, and that was said
}

// savedSessions is the content of the file.
type savedSessions struct {
	Version  int            `json:"version"`
	Sessions []savedSession `json:"sessions"`
}

// savedSession shows the secrets that engine.Session hides.
type savedSession struct {
	engine.Session
	C2S, S2C []byte
	Cookies  [][]byte
}

const (
	sessionsVersion = 1
	maxSessionsFile = 4 << 20 // octets
)

// claim takes sessions out of the file. Half of the cookies of each stay in it,
// so that a start that comes to nothing leaves something to the next. What the
// file cannot be freed of is not used.
func (s *sessions) claim() []engine.Session {
	if s.path == "" {
		return nil
	}
	state.Sweep(s.path) // keys must not lie about
	all, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.log.Warn("could not use the keys and cookies that were kept; exchanging keys anew", "code", "nts-state-not-used", "error", err)
		return nil
	}
	var claimed, left []engine.Session
	for _, x := range all {
		if x.Trust == "" || x.Trust != s.trust(x.For.Authority) {
			s.log.Info("what was kept of a key exchange is not used: other authorities are trusted now", "code", "session-dropped", "source", x.For.Host)
			continue
		}
		n := len(x.Cookies) / 2
		x.Cookies, x.Spare = x.Cookies[n:], x.Cookies[:n]
		claimed = append(claimed, x)
		if n > 0 {
			x.Cookies, x.Spare = x.Spare, nil
			left = append(left, x)
		}
	}
	if err := s.write(left); err != nil {
		removed := state.Remove(s.path) // a full disk allows that
		if removed != nil {
			s.log.Warn("could not take keys and cookies out of the file that keeps them, so they are not used; exchanging keys anew", "code", "nts-state-not-used", "error", errors.Join(err, removed))
			return nil
		}
		for i := range claimed {
			claimed[i].Spare = nil
		}
	}
	return claimed
}

// read reads the file.
func (s *sessions) read() ([]engine.Session, error) {
	data, err := state.ReadSecret(s.path, maxSessionsFile)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	var saved savedSessions
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("%s does not hold keys and cookies: %w", s.path, err)
	}
	if saved.Version != sessionsVersion {
		return nil, fmt.Errorf("%s is of version %d; this program reads version %d", s.path, saved.Version, sessionsVersion)
	}
	var all []engine.Session
	for _, x := range saved.Sessions {
		x.Session.C2S, x.Session.S2C, x.Session.Cookies, x.Session.Spare = x.C2S, x.S2C, nil, nil
		for _, c := range x.Cookies[max(len(x.Cookies)-cookie.JarSize, 0):] {
			x.Session.Cookies = append(x.Session.Cookies, c)
		}
		all = append(all, x.Session)
	}
	return all, nil
}

// keep stores sessions in place of what was stored. That it cannot is said
// once: the time is kept all the same.
func (s *sessions) keep(all []engine.Session) {
	err := s.write(all)
	if err != nil && !s.mute {
		s.log.Warn("could not keep keys and cookies: a restart will exchange keys anew", "code", "nts-state-not-saved", "error", err)
	}
	s.mute = err != nil
}

// write replaces the file, and makes its directory when it is missing. There is
// no file without sessions.
func (s *sessions) write(all []engine.Session) error {
	switch {
	case s.path == "":
		return nil
	case len(all) == 0:
		return state.Remove(s.path)
	}
	saved := savedSessions{Version: sessionsVersion}
	for _, x := range all {
		y := savedSession{Session: x, C2S: x.C2S, S2C: x.S2C}
		for _, c := range x.Cookies {
			y.Cookies = append(y.Cookies, c)
		}
		saved.Sessions = append(saved.Sessions, y)
	}
	data, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("keys and cookies: %w", err)
	}
	defer clear(data)
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return fmt.Errorf("keys and cookies: %w (choose another nts-state-path, or \"\" for none)", err)
	}
	return state.WriteFile(s.path, append(data, '\n'), 0o600)
}

// newSessions is the keeper of this daemon.
func (d *daemon) newSessions() *sessions {
	path := d.Config.Synchronization.NTSState(d.ClockName == ClockSystem)
	if path != "" {
		path = absolute(path)
	}
	return &sessions{path: path, log: d.Log, trust: func(authority string) string { return d.files.Load().trust[authority] }}
}
