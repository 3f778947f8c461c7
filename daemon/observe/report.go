package observe

import (
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/ntpd-go/ntpd-go/proto"
)

// ReportSchema is the version of Report. It grows when a key changes its
// meaning or goes away; new keys do not change it.
const ReportSchema = 1

// Report is what a daemon says of itself, ready for people and programs:
// every configured source with a state and a reason, SI units, and nil for
// what is not known. `ntp-ctl status --json` prints it; schema/status-1.json
// describes it.
type Report struct {
	Schema   int            `json:"schema"`
	Time     *time.Time     `json:"time"` // of the answer, by the daemon's clock
	Daemon   DaemonReport   `json:"daemon"`
	Headline string         `json:"headline"` // one sentence for anybody
	Clock    ClockReport    `json:"clock"`
	Sources  []SourceReport `json:"sources"`
	Servers  []ServerReport `json:"servers"`
	Clients  *uint64        `json:"clients"` // of all servers in the last hour, about
	KeyHosts []KeyHost      `json:"nts_ke_servers"`
}

// DaemonReport says which daemon answered.
type DaemonReport struct {
	Name    string  `json:"name"` // ntpd-go, or "other" for a daemon that speaks ntpd-rs' format
	Version string  `json:"version"`
	Commit  string  `json:"commit"`
	Uptime  float64 `json:"uptime"` // s
}

// ClockReport describes the clock. Durations are in seconds.
type ClockReport struct {
	State       string   `json:"state"` // see the Clock constants
	Reason      *string  `json:"reason"`
	Kind        *string  `json:"kind"`        // system or software
	Offset      *float64 `json:"offset"`      // true time minus clock: positive when the clock is slow
	Uncertainty *float64 `json:"uncertainty"` // one standard deviation of it
	ErrorBound  *float64 `json:"error_bound"` // how far from true time the clock can be: root delay / 2 + root dispersion
	Frequency   *float64 `json:"frequency"`   // correction of the oscillator, s/s
	Stratum     uint8    `json:"stratum"`     // 16 while not synchronised
	ReferenceID *string  `json:"reference_id"`
	Leap        string   `json:"leap"` // none, insert, delete or unsynchronised

	RootDelay      float64  `json:"root_delay"`
	RootDispersion *float64 `json:"root_dispersion"`
	Precision      float64  `json:"precision"`

	Steps            *int     `json:"steps"` // since the start
	AccumulatedSteps float64  `json:"accumulated_steps"`
	AccumulatedLimit *float64 `json:"accumulated_steps_threshold"`

	Selected *int `json:"sources_selected"`
	Agreeing *int `json:"sources_agreeing"` // in the largest group
	Needed   *int `json:"sources_needed"`   // that must agree
}

// States of a clock.
const (
	ClockSynchronised   = "synchronised"
	ClockHoldover       = "holdover"        // was synchronised, and no source is in use now
	ClockLocal          = "local"           // serves its own time at a configured stratum
	ClockUnsynchronised = "unsynchronised"  // and the reason says why
	ClockNoSources      = "without-sources" // nothing is configured
)

// SourceReport is one configured source, or one server of a pool.
type SourceReport struct {
	Index   *int    `json:"index"` // among the configured sources
	ID      *uint64 `json:"id"`    // nil when nothing is live
	Name    string  `json:"name"`
	Mode    *string `json:"mode"`
	Address *string `json:"address"`

	State  string   `json:"state"`  // see the engine's conditions, and "combined" and "answering"
	Reason *string  `json:"reason"` // a word for programs
	Why    string   `json:"why"`    // one line for people
	Used   bool     `json:"used"`
	Retry  *float64 `json:"retry_in"` // s until the next try

	Stratum     *uint8   `json:"stratum"`
	ReferenceID *string  `json:"reference_id"`
	Reach       *uint8   `json:"reach"` // a bit for each of the last eight polls
	Unanswered  *int     `json:"unanswered_polls"`
	Poll        *float64 `json:"poll_interval"` // s

	Offset         *float64   `json:"offset"` // source minus clock
	Uncertainty    *float64   `json:"uncertainty"`
	Delay          *float64   `json:"delay"`
	RootDelay      *float64   `json:"root_delay"`
	RootDispersion *float64   `json:"root_dispersion"`
	LastUpdate     *time.Time `json:"last_update"`
	Age            *float64   `json:"age"` // s since then
	Samples        *uint64    `json:"samples"`
	Dropped        *uint64    `json:"dropped"` // datagrams that were forged, damaged or late

	NTS *NTSReport `json:"nts"` // nil without NTS
}

// NTSReport is what a source with NTS has.
type NTSReport struct {
	Cookies  int        `json:"cookies"`             // unused, of eight
	NotAfter *time.Time `json:"certificate_expires"` // the chain of the last key exchange
}

// ServerReport counts what an NTP server did with requests.
type ServerReport struct {
	Address  string            `json:"address"`
	Stats    Stats             `json:"counters"`
	Verdicts map[string]uint64 `json:"verdicts"`     // nil from daemons that do not tell
	Drops    *uint64           `json:"kernel_drops"` // requests that the kernel dropped before the server saw them
}

// KeyHost is an NTS key-exchange server.
type KeyHost struct {
	Address  string            `json:"address"`
	NotAfter *time.Time        `json:"certificate_expires"`
	Outcomes map[string]uint64 `json:"outcomes"`
	// Restarts is how often the process that serves it ended and was started
	// again; nil where the daemon serves it itself, or does not tell.
	Restarts *uint64 `json:"process_restarts"`
}

// unknown is from where on ntpd-rs' durations stand for "not known".
const unknown = 1 << 30

// NewReport makes a report of a state. now is the caller's time, which tells
// the era of timestamps and nothing else.
func NewReport(s *State, now time.Time) *Report {
	r := &Report{
		Schema: ReportSchema,
		Daemon: DaemonReport{Name: "other", Version: line(s.Program.Version), Commit: line(s.Program.BuildCommit), Uptime: s.Program.UptimeSeconds},
		Clock:  clockReport(s),
		// Empty lists are lists.
		Sources: []SourceReport{}, Servers: []ServerReport{}, KeyHosts: []KeyHost{},
	}
	r.Time = calendar(s.Program.Now, now)
	if s.Own != nil {
		r.Daemon.Name, r.Clients = "ntpd-go", s.Own.Clients
		for i := range s.Own.Sources {
			r.Sources = append(r.Sources, ownSource(&s.Own.Sources[i], s, now))
		}
		for _, k := range s.Own.KeyHosts {
			r.KeyHosts = append(r.KeyHosts, KeyHost{Address: line(k.Address), NotAfter: k.NotAfter, Outcomes: k.Outcomes, Restarts: k.Restarts})
		}
	} else {
		for i := range s.Sources {
			r.Sources = append(r.Sources, otherSource(&s.Sources[i], s, now))
		}
	}
	for i := range s.Servers {
		r.Servers = append(r.Servers, ServerReport{Address: line(s.Servers[i].Address), Stats: s.Servers[i].Stats})
		if s.Own != nil && i < len(s.Own.Verdicts) {
			r.Servers[i].Verdicts = s.Own.Verdicts[i]
		}
		if s.Own != nil && i < len(s.Own.Drops) {
			r.Servers[i].Drops = &s.Own.Drops[i]
		}
	}
	r.Clock.State, r.Clock.Reason = clockState(s, r)
	r.Headline = headline(r)
	return r
}

func clockReport(s *State) ClockReport {
	c := ClockReport{
		Stratum: s.System.Stratum, Leap: leapWord(s.System.LeapIndicator), Precision: s.System.Precision,
		RootDelay: s.System.RootDelay, AccumulatedSteps: s.System.AccumulatedSteps, AccumulatedLimit: s.System.AccumulatedStepsThreshold,
	}
	if s.System.Stratum < uint8(proto.MaxStratum) {
		d := s.System.Dispersion(s.Program.Now)
		bound := d + s.System.RootDelay/2
		c.RootDispersion, c.ErrorBound = known(d), known(bound)
	}
	if o := s.Own; o != nil {
		c.Kind, c.ReferenceID = word(o.Clock), word(o.ReferenceID)
		c.Offset, c.Uncertainty, c.Frequency = o.Offset, o.Sigma, &o.Frequency
		c.Selected, c.Needed, c.Agreeing, c.Steps = &o.Selected, &o.Agreeing, o.Agree, &o.Steps
	}
	return c
}

func ownSource(row *Row, s *State, now time.Time) SourceReport {
	index := row.Source
	r := SourceReport{
		Index: &index, Name: line(row.Name), Mode: word(row.Mode), Address: word(row.Address), State: line(row.Condition),
		Reason: word(row.Reason), Retry: row.RetryIn, Stratum: row.Stratum, ReferenceID: word(row.RefID),
		Offset: row.Offset, Uncertainty: row.Sigma, Delay: row.Delay, RootDelay: row.RootDelay, RootDispersion: row.RootDispersion,
		Used: row.Condition == stateSelected,
	}
	if row.Condition == stateSelected && s.Own.Primary != 0 && s.Own.Primary != row.ID {
		r.State = StateCombined
	}
	if row.ID != 0 {
		id, reach := row.ID, row.Reach
		r.ID, r.Reach, r.Samples, r.Dropped, r.Unanswered = &id, &reach, row.Samples, row.Dropped, row.Unanswered
	}
	if row.Poll != nil {
		v := math.Ldexp(1, int(*row.Poll))
		r.Poll = &v
	}
	if row.LastUpdate != nil {
		r.LastUpdate = calendar(*row.LastUpdate, now)
		r.Age = age(*row.LastUpdate, s.Program.Now)
	}
	if row.NTS {
		r.NTS = &NTSReport{NotAfter: row.NotAfter}
		if row.Cookies != nil {
			r.NTS.Cookies = *row.Cookies
		}
	}
	r.Why = why(row, &r, s.Own)
	return r
}

// otherSource is a source of a daemon that gives no reasons.
func otherSource(src *Source, s *State, now time.Time) SourceReport {
	id, unanswered, poll := src.ID, src.UnansweredPolls, math.Ldexp(1, int(src.PollInterval))
	r := SourceReport{
		ID: &id, Name: line(src.Name), Address: word(src.Address), State: StateAnswering, Unanswered: &unanswered, Poll: &poll,
		Uncertainty: known(src.Uncertainty), Delay: known(src.Delay),
		RootDelay: known(src.RemoteDelay), RootDispersion: known(src.RemoteUncertainty),
		LastUpdate: calendar(src.LastUpdate, now), Age: age(src.LastUpdate, s.Program.Now),
	}
	r.Why = "it answers; the daemon does not say whether it is used"
	if r.Uncertainty != nil {
		r.Offset = known(src.Offset)
	}
	if src.UnansweredPolls >= 8 {
		r.State, r.Why = stateUnreachable, "it did not answer the last 8 polls"
	}
	if src.NTSCookies != nil {
		r.NTS = &NTSReport{Cookies: *src.NTSCookies}
	}
	return r
}

// known is nil for the values that stand for "not known".
func known(v float64) *float64 {
	if math.IsNaN(v) || math.Abs(v) >= unknown {
		return nil
	}
	return &v
}

// word is nil for the empty text.
func word(s string) *string {
	if s = line(s); s == "" {
		return nil
	}
	return &s
}

// longest bounds a text, in characters.
const longest = 400

// line makes one harmless line of a text that may come from far away.
func line(s string) string {
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return strings.TrimSpace(Harmless(s))
}

// Harmless is a text as it can be shown: what would move a terminal's cursor
// becomes a space.
func Harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

func calendar(t Timestamp, now time.Time) *time.Time {
	if t.Timestamp == 0 {
		return nil
	}
	c := proto.Timestamp(t.Timestamp).TimeNear(now).Round(time.Microsecond)
	return &c
}

// age is the time between two timestamps of the daemon in seconds.
func age(t, now Timestamp) *float64 {
	if t.Timestamp == 0 || now.Timestamp == 0 {
		return nil
	}
	v := max(proto.Timestamp(now.Timestamp).Sub(proto.Timestamp(t.Timestamp)).Seconds(), 0)
	return &v
}

// leapWord translates ntpd-rs' names.
func leapWord(name string) string {
	switch name {
	case "NoWarning":
		return "none"
	case "Leap61":
		return "insert"
	case "Leap59":
		return "delete"
	default:
		return "unsynchronised"
	}
}
