// Package khronos watches a disciplined clock by asking a few servers out of a
// large pool, drawn anew each time. It is the idea of RFC 9523: sources that
// are asked all the time may all be in one hand, but nobody has most of a large
// pool, and a random sample with its extremes cut off shows what the pool
// agrees on. The watchdog does not steer: it says whether the clock is where the
// pool is.
//
// The package is pure: randomness and measurements come in as arguments.
package khronos

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Parameters, with the values of RFC 9523 section 5.3 where it gives some.
const (
	// Samples are asked in a round (m).
	Samples = 15
	// Trim of them are dropped at each end, a third, so that whoever is to
	// move the rest as he likes needs two thirds of a sample (d).
	Trim = 5
	// Rounds that disagree make the whole pool be asked (K).
	Rounds = 3
	// MaxSpread is how far apart the rest may be: twice ω, 25 ms, within which
	// honest servers are.
	MaxSpread = 50 * (proto.Second / 1000)
	// MaxError is how far the mean of the rest may be from the clock: 30 ms for
	// the clock itself and twice ω.
	MaxError = 80 * (proto.Second / 1000)
	// MaxPool bounds how many servers are remembered; RFC 9523 has hundreds.
	MaxPool = 256
	// MaxAnswer of the addresses of one answer of a resolver are taken, so that
	// a forged one does not own the pool.
	MaxAnswer = 4
	// MinPool is how many servers must be known before they are asked: with
	// fewer a sample is no sample.
	MinPool = 2 * Samples
)

// Verdict is what a round says.
type Verdict uint8

// The verdicts.
const (
	Unknown  Verdict = iota // too few answers to say anything
	Agrees                  // the clock is where the pool is
	Again                   // draw another sample
	Everyone                // ask the whole pool
	Alarm                   // the clock is not where the pool is
)

// String names the verdict.
func (v Verdict) String() string {
	names := [...]string{"unknown", "agrees", "again", "everyone", "alarm"}
	if int(v) < len(names) {
		return names[v]
	}
	return "invalid"
}

// Watchdog is the pool and the state of a round. It is a value for one
// goroutine; the zero value is ready.
type Watchdog struct {
	pool   []netip.Addr // oldest first
	doubts int          // rounds that disagreed, one after the other
	all    bool         // the whole pool is being asked
}

// Learn takes in an answer of a resolver. The oldest servers are forgotten when
// there are too many.
func (w *Watchdog) Learn(addrs []netip.Addr) {
	for _, a := range addrs[:min(len(addrs), MaxAnswer)] {
		a = a.Unmap()
		if slices.Contains(w.pool, a) {
			continue
		}
		if len(w.pool) == MaxPool {
			w.pool = slices.Delete(w.pool, 0, 1)
		}
		w.pool = append(w.pool, a)
	}
}

// Known is how many servers are known.
func (w *Watchdog) Known() int { return len(w.pool) }

// Draw gives the servers to ask in this round: a random sample, or all of them
// after a verdict of Everyone. It gives none while too few are known.
func (w *Watchdog) Draw(entropy io.Reader) ([]netip.Addr, error) {
	if len(w.pool) < MinPool {
		return nil, nil
	}
	drawn := slices.Clone(w.pool)
	if w.all {
		return drawn, nil
	}
	for i := range Samples { // the beginning of a shuffle
		j, err := below(entropy, len(drawn)-i)
		if err != nil {
			return nil, err
		}
		drawn[i], drawn[i+j] = drawn[i+j], drawn[i]
	}
	return drawn[:Samples], nil
}

// below draws a number from 0 to n−1, each as likely, for a small n.
func below(entropy io.Reader, n int) (int, error) {
	limit := ^uint32(0) - ^uint32(0)%uint32(n)
	for {
		var b [4]byte
		if _, err := io.ReadFull(entropy, b[:]); err != nil {
			return 0, fmt.Errorf("khronos: no randomness: %w", err)
		}
		if v := binary.BigEndian.Uint32(b[:]); v < limit {
			return int(v % uint32(n)), nil
		}
	}
}

// Judge takes in what those who answered say: their time minus the clock, in
// any order. mean is that of what is left when the extremes are cut off; it
// means nothing with Unknown.
func (w *Watchdog) Judge(offsets []proto.Duration) (v Verdict, mean proto.Duration) {
	trim, enough := Trim, Samples-Trim
	if w.all {
		trim, enough = len(offsets)/3, MinPool/2
	}
	if len(offsets) < enough || len(offsets) <= 2*trim {
		w.doubts, w.all = 0, false
		return Unknown, 0
	}
	sorted := slices.Clone(offsets)
	slices.Sort(sorted)
	rest := sorted[trim : len(sorted)-trim]
	for _, o := range rest {
		mean += o / proto.Duration(len(rest))
	}
	near := mean.Abs() <= MaxError
	switch {
	case w.all:
		w.doubts, w.all = 0, false
		if near {
			return Agrees, mean
		}
		return Alarm, mean
	case near && rest[len(rest)-1]-rest[0] <= MaxSpread:
		w.doubts = 0
		return Agrees, mean
	}
	if w.doubts++; w.doubts < Rounds {
		return Again, mean
	}
	w.all = true
	return Everyone, mean
}
