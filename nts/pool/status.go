package pool

import (
	"errors"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Status is what a pool does and how its sources are, as JSON. Members may be
// added to it, and none of them changes its meaning.
type Status struct {
	Program     string            `json:"program"`
	Version     string            `json:"version"`
	Now         time.Time         `json:"now"`
	Started     time.Time         `json:"started"`
	Connected   int               `json:"connected"`       // clients
	Connections int               `json:"connections_max"` // that it takes at once
	Outcomes    map[string]uint64 `json:"outcomes"`        // of clients' connections, by name
	Times       []uint64          `json:"times"`           // of those that were served, by Buckets
	TimesSum    float64           `json:"times_sum_seconds"`
	Upstream    Upstream          `json:"upstream"`
	Sources     []SourceStatus    `json:"sources"`
	Settings    Settings          `json:"settings"`
}

// Settings are how the configuration is. The program fills them in.
type Settings struct {
	Read                time.Time `json:"read"`            // what is in effect
	Error               string    `json:"error,omitempty"` // why what is in the files now is not
	CertificateNotAfter time.Time `json:"certificate_not_after"`
	GeoBuilt            time.Time `json:"geo_built,omitzero"` // the database of places
	Discovered          time.Time `json:"discovered,omitzero"`
	DiscoveryError      string    `json:"discovery_error,omitempty"`
}

// Upstream counts what goes on between the pool and all sources.
type Upstream struct {
	Connections      uint64 `json:"connections"`
	Failed           uint64 `json:"connections_failed"`
	Resumed          uint64 `json:"connections_resumed"` // by a TLS session
	Reused           uint64 `json:"connections_reused"`  // once for each exchange over a kept one
	RefusedKeepAlive uint64 `json:"keep_alive_refused"`
	Questions        uint64 `json:"questions"`
	QuestionsFailed  uint64 `json:"questions_failed"`
	Exchanges        uint64 `json:"exchanges"`
	ExchangesFailed  uint64 `json:"exchanges_failed"`
}

// SourceStatus is how one source is.
type SourceStatus struct {
	Source   string         `json:"source"`
	Owner    string         `json:"owner,omitempty"`
	Country  string         `json:"country,omitempty"`
	Location string         `json:"location,omitempty"`
	Weight   uint32         `json:"weight"`
	Names    []string       `json:"names"` // of its NTP servers, as far as they are known
	Families []FamilyStatus `json:"families"`
}

// FamilyStatus is how one source is in one address family.
type FamilyStatus struct {
	Family      string    `json:"family"`
	State       State     `json:"state"`
	Reason      string    `json:"reason,omitempty"`
	Dialect     string    `json:"dialect,omitempty"`
	Algorithms  []string  `json:"algorithms,omitempty"`
	Answered    time.Time `json:"answered,omitzero"` // the last question
	RoundTripMS float64   `json:"round_trip_ms,omitempty"`
	Quality     float64   `json:"quality"` // factor on its weight, 0 to 1
	Resting     int       `json:"connections_resting"`
	Busy        int       `json:"connections_busy"`
	Served      uint64    `json:"served"` // clients
	Failed      uint64    `json:"failed"`
}

// State is in which state a source is.
type State string

// The states.
const (
	StateNew       State = "new"        // not asked yet
	StateOK        State = "ok"         // gets clients
	StateSuspected State = "suspected"  // gets clients for want of others
	StateDown      State = "down"       // gets none
	StateNoAddress State = "no-address" // does not exist in this family
)

// Status is a snapshot.
func (p *Pool) Status() Status {
	c := p.upstream.counters
	s := Status{
		Program: "nts-pool-ke", Now: time.Now(), Started: p.started,
		Connected: p.Connected(), Connections: p.front.Connections - 1,
		Outcomes: make(map[string]uint64, outcomes),
		TimesSum: time.Duration(c.tookSum.Load()).Seconds(),
		Upstream: Upstream{
			Connections: c.connections.Load(), Failed: c.connectionsFailed.Load(), Resumed: c.resumed.Load(),
			Reused: c.reused.Load(), RefusedKeepAlive: c.refusedKeepAlive.Load(),
			Questions: c.questions.Load(), QuestionsFailed: c.questionsFailed.Load(),
			Exchanges: c.exchanges.Load(), ExchangesFailed: c.exchangesFailed.Load(),
		},
	}
	for _, o := range Outcomes() {
		s.Outcomes[o.String()] = c.outcomes[o].Load()
	}
	for i := range c.took {
		s.Times = append(s.Times, c.took[i].Load())
	}
	for _, m := range *p.broker.members.Load() {
		s.Sources = append(s.Sources, m.status(p.families))
	}
	return s
}

func (m *member) status(families []family) SourceStatus {
	s := SourceStatus{
		Source: m.source.String(), Owner: m.source.Owner, Country: m.source.Country,
		Location: m.source.Location, Weight: m.source.Weight,
	}
	m.mu.Lock()
	s.Names = slices.Clone(m.names)
	m.mu.Unlock()
	for _, f := range families {
		if l := m.legs[f]; l != nil {
			s.Families = append(s.Families, l.status(time.Now()))
		}
	}
	return s
}

func (l *leg) status(now time.Time) FamilyStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := FamilyStatus{
		Family: l.family.String(), State: StateOK, Answered: l.knownAt,
		RoundTripMS: float64(l.quality.trip.Microseconds()) / 1000,
		Quality:     float64(l.quality.value()) / fullQuality,
		Resting:     len(l.idle), Busy: l.slots.Taken(), Served: l.served, Failed: l.failures,
	}
	if !l.knownAt.IsZero() {
		s.Dialect = l.known.dialect.String()
		for _, a := range l.known.algorithms {
			s.Algorithms = append(s.Algorithms, a.ID.String())
		}
	}
	switch {
	case errors.Is(l.down, ke.ErrFamily):
		s.State = StateNoAddress
	case l.down != nil:
		s.State, s.Reason = StateDown, l.down.Error()
	case now.Before(l.suspect):
		s.State = StateSuspected
		if l.spoiledBy != nil {
			s.Reason = l.spoiledBy.Error()
		}
	case l.knownAt.IsZero():
		s.State = StateNew
	}
	return s
}
