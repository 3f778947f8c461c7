package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// running asks the daemon, if it runs, and finds its process.
func (e *exam) running() {
	path := e.cfg.Observability.ObservationPath
	if path == "" {
		return
	}
	if s, err := observe.Read(path, 2*e.Timeout); err == nil {
		e.answer = &s
		e.machine.ours = peer(path)
	}
}

// configured looks whether the sources can be enough at all.
func (e *exam) configured() {
	s := &e.cfg.Synchronization
	switch {
	case len(e.cfg.Sources) == 0:
	case e.cfg.Expected() > 0 && e.cfg.Voters() == 0:
		e.fail("quorum", s.At("nts-selection").String(),
			`nts-selection is "require", and no source with NTS is configured: none has a vote, and the clock is never steered`,
			"at least one source of mode nts or nts-pool", `add one, or write nts-selection = "outvote"`)
	case !e.cfg.CanSteer():
		e.fail("quorum", s.At("minimum-agreeing-sources").String(),
			fmt.Sprintf("%s configured, and %d must agree: the clock is never steered", sources(e.cfg.Expected()), s.MinimumAgreeingSources),
			fmt.Sprintf("at least %d sources", s.MinimumAgreeingSources), "add sources, or lower minimum-agreeing-sources")
	}
}

func sources(n int) string {
	if n == 1 {
		return "1 source is"
	}
	return fmt.Sprintf("%d sources are", n)
}

// daemon says how the daemon itself is: what it says is a consequence of what
// stands above, or all that there is to say.
func (e *exam) daemon() {
	path := e.cfg.Observability.ObservationPath
	switch {
	case path == "":
		e.ok("daemon", "", "cannot be asked: observation-path is empty")
	case e.answer == nil:
		e.silentDaemon(absolute(path))
	default:
		e.unknownSources()
		e.daemonState()
	}
}

// silentDaemon is one that does not answer.
func (e *exam) silentDaemon(path string) {
	_, err := observe.Read(path, e.Timeout)
	_, statErr := os.Stat(path)
	p := e.machine.daemon(0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.warn("daemon", path, "the observation socket may not be opened by this user", "a socket that this user may open", "run as root, or widen observation-permissions")
	case p != nil:
		e.fail("daemon", path, p.String()+" runs, but does not answer here", "an answer", "does it run with this configuration file? else see its log")
	case errors.Is(err, syscall.ECONNREFUSED) && statErr == nil:
		e.fail("daemon", path, "no daemon runs, and one left its socket behind: it was killed or has crashed", "a running daemon", "see its log (journalctl -u ntpd-rs), and start it")
	case statErr == nil:
		e.fail("daemon", path, "the observation socket does not answer: "+lastCause(err), "an answer", "see the daemon's log, and restart it")
	default:
		e.ok("daemon", path, "no daemon runs; the checks are of this machine, the configuration and the network")
	}
}

func lastCause(err error) string {
	if err == nil {
		return "it does now"
	}
	return err.Error()
}

// unknownSources finds sources of the file that the daemon does not have: it
// runs with another file, or has not read this one again.
func (e *exam) unknownSources() {
	if e.answer.Own == nil {
		return
	}
	var missing []string
	for _, s := range e.sources {
		if !slices.ContainsFunc(e.answer.Own.Sources, func(r observe.Row) bool { return strings.HasPrefix(r.Name, s.name) || r.Name == s.Address.String() }) {
			missing = append(missing, s.Address.String())
		}
	}
	if len(missing) > 0 {
		e.warn("daemon", absolute(e.Config), "the running daemon does not have the sources "+strings.Join(missing, ", "), "the sources of the file",
			"restart or reload the daemon, or look which file it was started with")
	}
}

// settling is how long a daemon may take to synchronise.
const settling = time.Minute

func (e *exam) daemonState() {
	r := observe.NewReport(e.answer, e.now)
	up := time.Duration(r.Daemon.Uptime * float64(time.Second))
	troubled := ""
	for i := range r.Sources {
		if s := &r.Sources[i]; s.State == "demobilised" {
			troubled = s.Name + ": " + s.Why
		}
	}
	switch r.Clock.State {
	case observe.ClockUnsynchronised:
		why := r.Headline
		if r.Clock.Reason != nil {
			why = *r.Clock.Reason
		}
		if up < settling {
			e.ok("daemon", "", fmt.Sprintf("started %v ago and not synchronised yet: %s", up.Round(time.Second), why))
			return
		}
		e.fail("daemon", "", fmt.Sprintf("not synchronised after %v: %s", up.Round(time.Second), why), "synchronised within a minute", "see ntp-ctl status for each source's reason")
	case observe.ClockHoldover:
		e.warn("daemon", "", "was synchronised, and no source is in use now", "at least one source in use", "see ntp-ctl status for each source's reason")
	default:
		if troubled != "" {
			e.warn("daemon", "", "a source told it to stop asking: "+troubled, "sources that serve this client", "use another server, or ask its operator")
			return
		}
		e.ok("daemon", "", r.Headline)
	}
}
