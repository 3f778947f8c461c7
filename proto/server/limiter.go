package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// RateLimiter answers a client at most once every cutoff, apart from a random
// part of the rest. It is a table of a fixed number of slots and safe for use
// by several goroutines.
//
// A client is an IPv4 address or an IPv6 /64, whatever its port: one host can
// have all of a /64. A client without a slot of its own takes over the one its
// address hashes to, under a secret key; two clients that share a slot push
// each other out and are answered rather than refused.
//
// Whoever spoofs a client's address could have its real requests refused. So
// one refused request in four, drawn at random, is answered nevertheless; and
// refused requests do not prolong the refusal.
type RateLimiter struct {
	slots  []atomic.Uint64
	cutoff uint64 // in ticks
	key    sipKey
	leakN  atomic.Uint64 // draws so far
	leak   sipKey
	poll   int8

	leakOneIn uint64
}

// Slots are 64 bits wide, so that one atomic operation reads a whole one:
// 40 bits of time in ticks of 62.5 µs (two years), 3 bits that count refused
// requests, 21 bits of the client's hash. The lowest bit of that is 1, so that
// 0 is an empty slot.
const (
	tick      = time.Second / 16000
	timeBits  = 40
	countBits = 3
	timeMask  = 1<<timeBits - 1
	countMask = 1<<countBits - 1
	markMask  = 1<<64 - 1<<(timeBits+countBits)
	maxCutoff = timeMask / 2 * tick
)

// leakOneIn is the inverse of the part of refused requests that are answered.
const leakOneIn = 4

// Limit is what a rate limiter says about a request.
type Limit uint8

// Limits.
const (
	Within Limit = iota // answer it
	Over                // drop it
	Kiss                // drop it, or say so: a RATE kiss is due
)

// NewRateLimiter makes a limiter with a number of slots (8 octets each) and the
// shortest interval between two answers to one client. Without slots there is
// no limit: nil. A cutoff of zero refuses nobody and still remembers who asked
// last. entropy gives its secret keys.
func NewRateLimiter(slots int, cutoff time.Duration, entropy io.Reader) (*RateLimiter, error) {
	if slots <= 0 || cutoff < 0 {
		return nil, nil
	}
	var seed [32]byte
	if _, err := io.ReadFull(entropy, seed[:]); err != nil {
		return nil, fmt.Errorf("server: no entropy for the rate limiter: %w", err)
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(seed[8*i:]) }
	l := &RateLimiter{
		slots:  make([]atomic.Uint64, slots),
		cutoff: uint64((min(cutoff, maxCutoff) + tick - 1) / tick),
		key:    sipKey{word(0), word(1)},
		leak:   sipKey{word(2), word(3)},

		leakOneIn: leakOneIn,
	}
	for time.Second<<l.poll < cutoff && l.poll < 17 {
		l.poll++
	}
	return l, nil
}

// Check judges a request that arrived now, on a clock that does not go back.
// Of every eight requests of a client that are over the limit, the eighth asks
// for a RATE kiss: often enough to tell a client that goes on, and never for
// the single request that someone had refused by spoofing. A nil limiter has
// no limit.
func (l *RateLimiter) Check(now proto.Instant, a netip.Addr) Limit {
	if l == nil {
		return Within
	}
	h := l.key.sum(client(a))
	// The index takes the high end of the hash and the mark the low end.
	slot := &l.slots[mulHigh(h, uint64(len(l.slots)))]
	mark := (h | 1) << (timeBits + countBits)
	t := uint64(now/proto.Instant(tick)) & timeMask
	old := slot.Load()
	// Of two workers that race for a slot one loses its entry, and its client
	// may be answered or refused once more.
	if old&markMask != mark {
		slot.CompareAndSwap(old, mark|t)
		return Within
	}
	if since(old, t) >= l.cutoff {
		slot.CompareAndSwap(old, old&^timeMask|t)
		return Within
	}
	count := old>>timeBits&countMask + 1
	slot.CompareAndSwap(old, mark|count&countMask<<timeBits|old&timeMask)
	switch {
	case l.leak.sum(l.leakN.Add(1))%l.leakOneIn == 0:
		return Within
	case count > countMask:
		return Kiss
	default:
		return Over
	}
}

// since is how many ticks t is later than a slot's time. Workers read the time
// once for several requests, so t may be a little earlier: that is no time.
func since(slot, t uint64) uint64 {
	d := (t - slot) & timeMask
	if d > timeMask-uint64(time.Second/tick) {
		return 0
	}
	return d
}

// Poll is the shortest poll interval within the limit, in log2 seconds.
func (l *RateLimiter) Poll() int8 { return l.poll }

// client is the part of an address that a limit applies to, as one word. IPv4
// addresses take 0:1:a:b::/64, which no one has.
func client(a netip.Addr) uint64 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

// mulHigh spreads a hash over n slots.
func mulHigh(h, n uint64) uint64 {
	hi, _ := bits.Mul64(h, n)
	return hi
}
