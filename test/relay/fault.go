// Package relay is a UDP relay that does to datagrams what bad networks do: delay, loss, duplication, reordering, corruption
// and filtering by length. Each direction has faults of its own, and all chance comes from a seed: the same datagrams in the
// same order meet the same fate. It needs no privileges.
package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Fault is what happens to the datagrams of one direction. The zero value passes everything at once. Probabilities are
// between 0 and 1 and are drawn independently for each datagram.
type Fault struct {
	Delay     time.Duration // every datagram waits this long
	Jitter    time.Duration // and up to this much longer, evenly spread; enough of it reorders
	Loss      float64       // probability that a datagram disappears
	Duplicate float64       // probability that a datagram arrives twice, each copy with its own jitter
	Reorder   float64       // probability that a datagram is held back by HoldBack, so that later ones overtake it
	HoldBack  time.Duration
	Corrupt   float64 // probability that one bit of a datagram is flipped
	MinLength int     // shorter datagrams disappear
	MaxLength int     // longer datagrams disappear; 0 means no limit
}

// Validate tells what is wrong with the values of a fault.
func (f *Fault) Validate() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", f.Loss}, {"duplicate", f.Duplicate}, {"reorder", f.Reorder}, {"corrupt", f.Corrupt}} {
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("%s %v is not a probability", p.name, p.value)
		}
	}
	if f.Delay < 0 || f.Jitter < 0 || f.HoldBack < 0 {
		return fmt.Errorf("negative time: delay %v, jitter %v, hold back %v", f.Delay, f.Jitter, f.HoldBack)
	}
	if f.MinLength < 0 || f.MaxLength < 0 {
		return fmt.Errorf("negative length: min %d, max %d", f.MinLength, f.MaxLength)
	}
	return nil
}

// Counts is what happened to the datagrams of one direction so far.
type Counts struct {
	Received, Filtered, Lost, Duplicated, HeldBack, Corrupted, Delivered int
}

// copyOf is one delivery of a datagram.
type copyOf struct {
	after   time.Duration
	payload []byte
}

// fate decides what becomes of one datagram; the payloads it returns are its own. Every datagram draws the same number of
// random values, so that changing one probability does not change the fate of the datagrams after it.
func (f *Fault) fate(random *rand.Rand, payload []byte, n *Counts) []copyOf {
	n.Received++
	lost, duplicated := random.Float64() < f.Loss, random.Float64() < f.Duplicate
	held, corrupted := random.Float64() < f.Reorder, random.Float64() < f.Corrupt
	bit := random.Uint64()
	jitter := [2]time.Duration{f.jitter(random), f.jitter(random)}

	if len(payload) < f.MinLength || f.MaxLength > 0 && len(payload) > f.MaxLength {
		n.Filtered++
		return nil
	}
	if lost {
		n.Lost++
		return nil
	}
	payload = slices.Clone(payload)
	if corrupted && len(payload) > 0 {
		n.Corrupted++
		bit %= uint64(len(payload)) * 8
		payload[bit/8] ^= 1 << (bit % 8)
	}
	after := f.Delay
	if held {
		n.HeldBack++
		after += f.HoldBack
	}
	copies := []copyOf{{after + jitter[0], payload}}
	if duplicated {
		n.Duplicated++
		copies = append(copies, copyOf{after + jitter[1], payload})
	}
	return copies
}

func (f *Fault) jitter(random *rand.Rand) time.Duration {
	return time.Duration(random.Float64() * float64(f.Jitter))
}
