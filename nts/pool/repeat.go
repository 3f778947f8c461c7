package pool

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

const (
	// repeatMost is how often a network may deny the same servers within
	// repeatWithin. A client whose pool has nothing more for it must wait, and
	// some ask again every second instead.
	repeatMost   = 6
	repeatWithin = time.Minute

	// repeatTable is the number of fingerprints that are counted at once.
	repeatTable = 1 << 14
)

// repeats counts requests that are the same again: from one network, with one
// list of denied servers. Clients behind one address deny different servers,
// or, at their first request, none; such requests are never counted. The table
// has a fixed size and holds neither an address nor a name.
type repeats struct {
	seed  maphash.Seed
	mu    sync.Mutex
	table []repeat // nil until somebody denies a server
}

type repeat struct {
	fingerprint uint64
	since       time.Time
	count       int
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed()}
}

// excessive notes a request and reports whether it is one too many.
func (r *repeats) excessive(from netip.Addr, q nts.KeyExchange, now time.Time) bool {
	if len(q.Deny) == 0 {
		return false
	}
	f := r.fingerprint(from, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table == nil {
		r.table = make([]repeat, repeatTable)
	}
	e := &r.table[f%repeatTable]
	if e.fingerprint != f || now.Sub(e.since) >= repeatWithin {
		*e = repeat{fingerprint: f, since: now}
	}
	e.count++
	return e.count > repeatMost
}

func (r *repeats) fingerprint(from netip.Addr, q nts.KeyExchange) uint64 {
	names := make([]string, 0, len(q.Deny))
	for _, d := range q.Deny {
		names = append(names, nts.CanonicalServer(d.Name))
	}
	slices.Sort(names)
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(ke.Network(from).String())
	for _, name := range slices.Compact(names) {
		h.WriteByte(0)
		h.WriteString(name)
	}
	return h.Sum64()
}
