// Package history keeps what the clock and its sources did in the last day, in
// a fixed amount of memory, so that there is something to look at when someone
// asks what happened last night.
package history

import (
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// What is kept. Twelve sources that are asked every 16 s fill a day; more of
// them, and the oldest measurements go first.
const (
	Span          = 24 * time.Hour
	clockInterval = 10 * time.Second
	clockPoints   = int(Span / clockInterval)
	sourcePoints  = 1 << 16
	maxSources    = 512
	maxName       = 64 // octets of a name or address

	// MaxMemory bounds a ring, in octets.
	MaxMemory = 2 << 20
)

// tick is the resolution of times; 32 bits of them are 13 years.
const tick = 100 * time.Millisecond

// clockPoint is the clock at a moment.
type clockPoint struct {
	at            uint32 // ticks since the start of the ring
	sigma, bound  float32
	flags         uint32
	offset, drift float64
}

const (
	flagOffset = 1 << iota // offset and sigma are known
	flagSynchronised
)

// sourcePoint is one measurement of a source.
type sourcePoint struct {
	at           uint32
	source       uint16 // index of the name, or gone
	offset       float64
	delay, sigma float32
}

// gone marks measurements of a source whose name was forgotten.
const gone = 0xffff

// name is a source that measurements refer to.
type name struct {
	name, address string
	id            kalman.SourceID
	samples       uint64
	last          uint32
}

// Ring is the history of one daemon. Record belongs to one goroutine; Document
// may be called by any.
type Ring struct {
	mu      sync.Mutex
	start   proto.Instant
	clock   ring[clockPoint]
	sources ring[sourcePoint]
	names   []name
	next    proto.Instant
}

// New makes a ring that begins now.
func New(now proto.Now) *Ring {
	return &Ring{start: now.Mono, next: now.Mono, clock: newRing[clockPoint](clockPoints), sources: newRing[sourcePoint](sourcePoints)}
}

// ring overwrites its oldest element when it is full.
type ring[T any] struct {
	all  []T
	head int // of the oldest element
	n    int
}

func newRing[T any](size int) ring[T] { return ring[T]{all: make([]T, size)} }

func (r *ring[T]) add(v T) {
	if r.n < len(r.all) {
		r.all[(r.head+r.n)%len(r.all)] = v
		r.n++
		return
	}
	r.all[r.head] = v
	r.head = (r.head + 1) % len(r.all)
}

// each calls f for every element, the oldest first.
func (r *ring[T]) each(f func(*T)) {
	for i := range r.n {
		f(&r.all[(r.head+i)%len(r.all)])
	}
}

// Record takes in what is new in a status: a point of the clock every ten
// seconds, and one of each source that was measured.
func (r *Ring) Record(st *engine.Status, now proto.Now) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.ticks(now.Mono)
	if now.Mono >= r.next {
		r.next = now.Mono.Add(clockInterval)
		r.clock.add(clockState(st, at, now))
	}
	for i := range st.Sources {
		s := &st.Sources[i]
		if s.ID == 0 || s.Samples == 0 {
			continue
		}
		j := r.find(s, at)
		if r.names[j].samples == s.Samples {
			continue
		}
		r.names[j].samples, r.names[j].last = s.Samples, at
		r.sources.add(measured(s, at, uint16(j)))
	}
}

func (r *Ring) ticks(t proto.Instant) uint32 { return uint32(max(t.Sub(r.start), 0) / tick) }

func clockState(st *engine.Status, at uint32, now proto.Now) clockPoint {
	p := clockPoint{at: at, drift: st.Frequency}
	if st.Sigma != proto.MaxDuration && st.Sigma > 0 {
		p.offset, p.sigma = st.Offset.Seconds(), float32(st.Sigma.Seconds())
		p.flags |= flagOffset
	}
	if st.Synchronised {
		s := &st.Snapshot
		age := max(now.Mono.Sub(s.Mono).Seconds(), 0)
		p.bound = float32(s.RootDelay.Seconds()/2 + s.RootDispersion.Seconds() + age*s.DispersionRate)
		p.flags |= flagSynchronised
	}
	return p
}

func measured(s *engine.SourceStatus, at uint32, source uint16) sourcePoint {
	return sourcePoint{at: at, source: source, offset: s.Measured.Offset.Seconds(), delay: float32(s.Measured.Delay.Seconds()), sigma: float32(s.Sigma.Seconds())}
}

// find is the index of a source's name. When there are too many names the one
// that was measured the longest ago is forgotten.
func (r *Ring) find(s *engine.SourceStatus, at uint32) int {
	oldest := 0
	for i := range r.names {
		if r.names[i].id == s.ID {
			return i
		}
		if r.names[i].last < r.names[oldest].last {
			oldest = i
		}
	}
	n := name{name: short(s.Name), address: short(s.Addr.String()), id: s.ID, last: at}
	if len(r.names) < maxSources {
		r.names = append(r.names, n)
		return len(r.names) - 1
	}
	r.sources.each(func(p *sourcePoint) {
		if int(p.source) == oldest {
			p.source = gone
		}
	})
	r.names[oldest] = n
	return oldest
}

// short bounds a text without keeping a longer one alive.
func short(s string) string {
	return string([]byte(s[:min(len(s), maxName)]))
}
