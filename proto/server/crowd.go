package server

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// crowd estimates how many different clients asked in the last hour, in 7 KiB
// however many there are: a HyperLogLog (Flajolet, Fusy, Gandouet and Meunier,
// 2007) for each ten minutes. Its standard error is 3 %; few clients are
// counted almost exactly. It holds ranks of a keyed hash, and no addresses.
// One goroutine adds, any may read.
type crowd struct{ windows [crowdWindows]crowdWindow }

const (
	crowdBits    = 10
	crowdRanks   = 1 << crowdBits
	crowdSpan    = proto.Instant(10 * time.Minute)
	crowdWindows = 7 // an hour, and the ten minutes that are under way
)

// crowdWindow is ten minutes.
type crowdWindow struct {
	number atomic.Int64 // of its ten minutes, from 1 on; 0 while it is cleared
	ranks  [crowdRanks / 8]atomic.Uint64
}

// add counts a client by its hash.
func (c *crowd) add(now proto.Instant, h uint64) {
	n := int64(now/crowdSpan) + 1
	w := &c.windows[n%crowdWindows]
	if w.number.Load() != n {
		w.number.Store(0)
		for i := range w.ranks {
			w.ranks[i].Store(0)
		}
		w.number.Store(n)
	}
	i := h >> (64 - crowdBits)
	rank := uint64(bits.LeadingZeros64(h<<crowdBits|1<<(crowdBits-1))) + 1
	word, shift := &w.ranks[i/8], i%8*8
	if old := word.Load(); old>>shift&0xff < rank {
		word.Store(old&^(0xff<<shift) | rank<<shift)
	}
}

// Distinct estimates how many different clients of a census asked in the last
// hour, and up to ten minutes more. A client is an IPv4 address or an IPv6 /64,
// whatever the scope.
func Distinct(now proto.Instant, tallies ...*Tally) uint64 {
	var ranks [crowdRanks]uint8
	n := int64(now/crowdSpan) + 1
	for _, t := range tallies {
		if t == nil {
			continue
		}
		for i := range t.crowd.windows {
			w := &t.crowd.windows[i]
			number := w.number.Load()
			if age := n - number; number == 0 || age < 0 || age >= crowdWindows {
				continue
			}
			for j := range ranks {
				ranks[j] = max(ranks[j], uint8(w.ranks[j/8].Load()>>(j%8*8)))
			}
		}
	}
	return estimate(&ranks)
}

// estimate is the number that ranks speak for.
func estimate(ranks *[crowdRanks]uint8) uint64 {
	const m = crowdRanks
	sum, empty := 0.0, 0
	for _, r := range ranks {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	const alpha = 0.7213 / (1 + 1.079/m)
	e := alpha * m * m / sum
	if e <= 2.5*m && empty > 0 {
		e = m * exact.Log(m/float64(empty)) // linear counting
	}
	return uint64(e + 0.5)
}
