package pool

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// mostNames bounds the names that are remembered for one source.
const mostNames = 16

// dialects is the order in which a source is asked, newest first.
var dialects = []nts.Dialect{nts.IANA, nts.Draft, nts.ClientCertificate}

// member is what the pool knows about one source whichever way it is reached.
// Its lock is never held while somebody waits for the network.
type member struct {
	source Source
	place  Place
	owner  int            // a number for its owner; 0 without
	legs   [families]*leg // nil in a family that the source cannot have

	mu          sync.Mutex
	names       []string // canonical; the first is that of its key exchange
	nextDialect int      // index into dialects to ask in first
	nameless    bool     // it does not answer questions for its names
	named       bool     // it has said where its NTP servers are
	forgot      bool     // it had more names than are remembered
	naming      *naming  // the question that is in flight, or nil
	namesNext   time.Time
}

func newMember(s Source, up *upstream) *member {
	if len(s.Token) == 0 {
		s.Token = nil // no record at all
	}
	m := &member{source: s, place: PlaceOf(s.Country), names: []string{nts.CanonicalServer(s.Domain)}}
	for f := range family(families) {
		if addr, err := netip.ParseAddr(s.Domain); err != nil || familyOf(addr) == f {
			m.legs[f] = newLeg(m, f, up)
		}
	}
	return m
}

// retire ends all connections to the source that rest, for good.
func (m *member) retire() {
	for _, l := range m.legs {
		if l != nil {
			l.retire()
		}
	}
}

// goesBy reports whether a client may mean this source by one of the names,
// which are canonical. Clients know the name of the NTP server, which is that
// of the key exchange if the source does not say another.
func (m *member) goesBy(names map[string]bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.names, func(n string) bool { return names[n] })
}

// deniedBy reports whether a client that denies some servers, by their canonical
// names, does not want this source, or may not: of one that had more names than
// are remembered nobody knows whether a client means it. It could else say
// another name to each client, and be given again to one that has it.
func (m *member) deniedBy(names map[string]bool) bool {
	m.mu.Lock()
	forgot := m.forgot
	m.mu.Unlock()
	return forgot || m.goesBy(names)
}

// learn remembers a name of the source's NTP server.
func (m *member) learn(name string) {
	if !m.remember(nts.CanonicalServer(name)) {
		return
	}
	for _, l := range m.legs {
		if l != nil {
			l.tell(slog.LevelWarn, "time source has said too many names of NTP servers; clients that deny any server do not get it any more", "code", "pool-names", "names", mostNames)
			return
		}
	}
}

// remember reports whether, with this name, the source has more than can be
// remembered, for the first time.
func (m *member) remember(name string) (tooMany bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.named = true
	if slices.Contains(m.names, name) {
		return false
	}
	if len(m.names) > mostNames {
		m.names = slices.Delete(m.names, 1, 2) // the oldest that was learnt
		tooMany, m.forgot = !m.forgot, true
	}
	m.names = append(m.names, name)
	return tooMany
}

// inherit takes over what was learnt of the same source under an earlier
// configuration.
func (m *member) inherit(old *member) {
	old.mu.Lock()
	defer old.mu.Unlock()
	m.names, m.nextDialect, m.nameless = slices.Clone(old.names), old.nextDialect, old.nameless
	m.named, m.namesNext, m.forgot = old.named, old.namesNext, old.forgot
}

// dialect is the one to ask in now.
func (m *member) dialect() nts.Dialect {
	m.mu.Lock()
	defer m.mu.Unlock()
	return dialects[m.nextDialect]
}

// otherDialect moves on from a dialect that the source refused, unless
// somebody else has done so already.
func (m *member) otherDialect(refused nts.Dialect) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if dialects[m.nextDialect] == refused {
		m.nextDialect = (m.nextDialect + 1) % len(dialects)
		m.nameless = false // it may be another program now
	}
}

// isNamed reports whether the names of its NTP servers are known.
func (m *member) isNamed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.named
}

// tellsNames reports whether it is of use to ask the source for its names, and
// cannotTell notes that it is not.
func (m *member) tellsNames() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.nameless
}

func (m *member) cannotTell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nameless = true
}
