package server

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Scope says how exactly a census remembers who asks.
type Scope uint8

// Scopes. An address of a private network, or of the link or the machine,
// says nothing about anybody beyond the operator's own network and is always
// remembered as it is.
const (
	ScopeNetwork Scope = iota // IPv4 /24 and IPv6 /48
	ScopeAddress              // an IPv4 address or an IPv6 /64, as the rate limiter has it
)

// A Census counts clients, and remembers those that ask most, in memory of a
// fixed size and for a day at most. Each worker keeps a Tally of its own, so
// that they do not slow each other down; a Census is what they share.
//
// Source addresses can be forged: who forges them can put any client in here,
// but can neither choose what is pushed out nor use more memory.
type Census struct {
	scope Scope
	key   sipKey
}

// NewCensus makes a census. entropy gives its secret key.
func NewCensus(scope Scope, entropy io.Reader) (*Census, error) {
	var seed [16]byte
	if _, err := io.ReadFull(entropy, seed[:]); err != nil {
		return nil, fmt.Errorf("server: no entropy for the census of clients: %w", err)
	}
	return &Census{scope, sipKey{binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])}}, nil
}

// Limits of a census.
const (
	tallySets = 128
	tallyWays = 8

	// CensusClients is how many clients one worker remembers.
	CensusClients = tallySets * tallyWays
	// CensusMemory is after which silence a client is forgotten.
	CensusMemory = 24 * time.Hour

	// lastStep is how exactly it is remembered when a client asked last.
	lastStep = proto.Instant(time.Second / 8)
)

// Tally is one worker's part of a Census: one goroutine counts, any may read.
// A nil Tally counts nothing.
//
// It is a table of sets, each of which keeps its most frequent clients as the
// Space-Saving algorithm does (Metwally, Agrawal and El Abbadi, 2005): a client
// without a place takes that of the least frequent one, and its count, which is
// the most that it can have asked before. So whoever asks more often than the
// average of a set stays, however many others come by.
type Tally struct {
	of    *Census
	crowd crowd
	sets  [tallySets]tallySet
}

// tallySet is the clients that share a hash, each value of all of them in one
// cache line. The writer sets id to 0 while it gives a place away, so that a
// reader notices.
type tallySet struct {
	id       [tallyWays]atomic.Uint64 // 0: empty
	requests [tallyWays]atomic.Uint64 // missed ones included
	last     [tallyWays]atomic.Int64
	since    [tallyWays]atomic.Int64
	missed   [tallyWays]atomic.Uint64
	nts      [tallyWays]atomic.Uint64
	limited  [tallyWays]atomic.Uint64
	denied   [tallyWays]atomic.Uint64
}

// Tally makes the part of one more worker.
func (c *Census) Tally() *Tally { return &Tally{of: c} }

// Count adds one request. now is on a clock that does not go back.
func (t *Tally) Count(now proto.Instant, a netip.Addr, v Verdict) {
	if t == nil {
		return
	}
	whole := client(a)
	h := t.of.key.sum(whole)
	t.crowd.add(now, h)
	id := t.of.scope.cut(a.Unmap(), whole)
	if id != whole {
		h = t.of.key.sum(id)
	}
	set := &t.sets[mulHigh(h, tallySets)]
	i := set.place(now, id+1)
	set.requests[i].Add(1)
	if now-proto.Instant(set.last[i].Load()) >= lastStep {
		set.last[i].Store(int64(now))
	}
	switch v {
	case AcceptedNTS, NAKed:
		set.nts[i].Add(1)
	case DeniedNTS:
		set.nts[i].Add(1)
		set.denied[i].Add(1)
	case Denied, Refused, NTSRequired:
		set.denied[i].Add(1)
	case RateKissed, RateLimited:
		set.limited[i].Add(1)
	case Accepted, WrongTarget, Malformed, WrongMode, WrongVersion, NoKeys, NoTime, Failed:
	}
}

// place finds a client's place, or makes one.
func (s *tallySet) place(now proto.Instant, id uint64) int {
	for i := range s.id {
		if s.id[i].Load() == id {
			return i
		}
	}
	i, least := s.least(now)
	s.id[i].Store(0)
	s.requests[i].Store(least)
	s.last[i].Store(int64(now))
	s.since[i].Store(int64(now))
	s.missed[i].Store(least)
	s.nts[i].Store(0)
	s.limited[i].Store(0)
	s.denied[i].Store(0)
	s.id[i].Store(id)
	return i
}

// least is the client that asked least, and how often. Who is forgotten did
// not ask at all.
func (s *tallySet) least(now proto.Instant) (i int, n uint64) {
	n = s.asked(0, now)
	for j := 1; j < tallyWays; j++ {
		if m := s.asked(j, now); m < n {
			i, n = j, m
		}
	}
	return i, n
}

func (s *tallySet) asked(i int, now proto.Instant) uint64 {
	if forgotten(now, proto.Instant(s.last[i].Load())) {
		return 0
	}
	return s.requests[i].Load()
}

func forgotten(now, last proto.Instant) bool { return now-last > proto.Instant(CensusMemory) }

// cut is as much of a client as is remembered. a is not IPv4 in IPv6.
func (s Scope) cut(a netip.Addr, whole uint64) uint64 {
	if s == ScopeAddress || own(a) {
		return whole
	}
	if a.Is4() {
		return whole &^ (1<<8 - 1)
	}
	return whole &^ (1<<16 - 1)
}

// own reports addresses that only the operator's own network knows.
func own(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }

// prefix is what cut left of a client.
func (s Scope) prefix(id uint64) netip.Prefix {
	var a netip.Addr
	whole, part := 64, 48
	if id>>32 == 1 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(id))
		a, whole, part = netip.AddrFrom4(b), 32, 24
	} else {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], id)
		if id == 0 {
			b[15], whole = 1, 128 // nobody else is in ::/64
		}
		a = netip.AddrFrom16(b)
	}
	if s == ScopeAddress || own(a) {
		return netip.PrefixFrom(a, whole)
	}
	return netip.PrefixFrom(a, part)
}

// Client is what is remembered of one client.
type Client struct {
	Prefix   netip.Prefix
	Since    proto.Instant // from when on its requests were counted
	Last     proto.Instant // when it asked last, to 1/8 s
	Requests uint64        // that were counted
	Missed   uint64        // at most, before that
	NTS      uint64        // requests with NTS that were judged
	Limited  uint64        // requests over the rate limit
	Denied   uint64        // requests refused by an access list or for want of NTS
}

// Clients joins the tallies of a census: everyone who is remembered and asked
// in the last CensusMemory, the most frequent first.
func Clients(now proto.Instant, tallies ...*Tally) []Client {
	found := map[netip.Prefix]int{}
	var all []Client
	for _, t := range tallies {
		if t == nil {
			continue
		}
		for i := range CensusClients {
			c, ok := t.sets[i/tallyWays].read(i%tallyWays, t.of.scope)
			if !ok || forgotten(now, c.Last) {
				continue
			}
			j, known := found[c.Prefix]
			if !known {
				found[c.Prefix] = len(all)
				all = append(all, c)
				continue
			}
			all[j].add(&c)
		}
	}
	slices.SortFunc(all, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	return all
}

// read takes a client out of a place that is not just being given away.
func (s *tallySet) read(i int, scope Scope) (Client, bool) {
	id := s.id[i].Load()
	if id == 0 {
		return Client{}, false
	}
	missed := s.missed[i].Load()
	c := Client{
		Prefix: scope.prefix(id - 1), Since: proto.Instant(s.since[i].Load()), Last: proto.Instant(s.last[i].Load()),
		Requests: s.requests[i].Load() - missed, Missed: missed,
		NTS: s.nts[i].Load(), Limited: s.limited[i].Load(), Denied: s.denied[i].Load(),
	}
	return c, s.id[i].Load() == id
}

// add joins what two workers know of one client.
func (c *Client) add(d *Client) {
	c.Since, c.Last = min(c.Since, d.Since), max(c.Last, d.Last)
	c.Requests += d.Requests
	c.Missed += d.Missed
	c.NTS += d.NTS
	c.Limited += d.Limited
	c.Denied += d.Denied
}
