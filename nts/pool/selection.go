package pool

import (
	"slices"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// candidate is what selection knows about a source at the moment of a request.
type candidate struct {
	weight  uint32
	health  health
	quality uint32 // 1 to fullQuality
	wished  bool   // the client asked for it by name
	known   bool   // the client denies another source of the same owner
	owner   int    // 0 if it has none
	tier    tier
	beyond  bool // further away than it must be
}

// The ranks of candidates: those of a lower rank are drawn first.
const (
	rankWished = iota
	rankFirst
	rankBeyond
	rankKnown
	rankSuspected
)

// rank is by which candidates come before others. One that is unusable takes
// part in the draw of its rank, where it leaves its place to the others by
// their weights.
func (c *candidate) rank() int {
	switch {
	case c.health == suspected:
		return rankSuspected
	case c.wished:
		return rankWished
	case c.known:
		return rankKnown
	case c.beyond:
		return rankBeyond
	default:
		return rankFirst
	}
}

// drawing is a weighted draw without replacement among candidates: each comes
// with the probability of its share among those that are left of its rank.
type drawing struct {
	candidates []candidate
	shares     []uint64 // their weights, unless something was arranged
	left       []int    // indices, in the order of the file
}

// newDrawing begins a draw among the candidates that are not left out. One of
// weight 0 is never drawn.
func newDrawing(candidates []candidate, denied []bool) *drawing {
	d := &drawing{candidates: candidates, shares: make([]uint64, len(candidates))}
	for i, c := range candidates {
		d.shares[i] = uint64(c.weight)
		if c.weight > 0 && !denied[i] {
			d.left = append(d.left, i)
		}
	}
	return d
}

// next draws an index, or reports that none is left. uniform(n) is below n,
// with equal probability for each value.
func (d *drawing) next(uniform func(uint64) uint64) (int, bool) {
	if len(d.left) == 0 {
		return 0, false
	}
	best := d.candidates[d.left[0]].rank()
	for _, i := range d.left {
		best = min(best, d.candidates[i].rank())
	}
	var sum uint64
	for _, i := range d.left {
		if d.candidates[i].rank() == best {
			sum += d.shares[i]
		}
	}
	at := uniform(sum)
	for k, i := range d.left {
		if d.candidates[i].rank() != best {
			continue
		}
		if w := d.shares[i]; at >= w {
			at -= w
			continue
		}
		d.left = slices.Delete(d.left, k, k+1)
		return i, true
	}
	panic("pool: uniform gave a number beyond its bound")
}

// onlyUsable drops those that are unusable from the rest of the draw.
func (d *drawing) onlyUsable() {
	d.left = slices.DeleteFunc(d.left, func(i int) bool { return d.candidates[i].health == unusable })
}

// only leaves those of the draw that are wanted, unless that leaves nobody.
func (d *drawing) only(wanted func(i int) bool) {
	var left []int
	for _, i := range d.left {
		if wanted(i) {
			left = append(left, i)
		}
	}
	if len(left) > 0 {
		d.left = left
	}
}

// mostDenied bounds the Deny records of one request that are looked at. A
// client names each server in both numbers of the record.
const mostDenied = 64

// namesIn are the servers that a client denies.
func namesIn(q nts.KeyExchange) map[string]bool {
	names := make(map[string]bool, len(q.Deny))
	for _, d := range q.Deny {
		names[nts.CanonicalServer(d.Name)] = true
	}
	return names
}

// Bounds on the length of a key in octets, for algorithms that only the client
// and the source know.
const (
	minKeyLen = 16
	maxKeyLen = 64
)

// gcmSIVKeyLen is the length of a key of AEAD_AES_128_GCM_SIV (RFC 8452).
const gcmSIVKeyLen = 16

// choose picks the first algorithm of the client's list that the source
// supports. The source says how long the keys are, so that a pool can serve
// algorithms that it does not know itself.
//
// Clients disagree about the key context of AEAD_AES_128_GCM_SIV. Only one
// that sends the record 1024 surely derives its keys as RFC 8915 section 5.1
// has it; for others the algorithm is never chosen.
func choose(q nts.KeyExchange, supported []nts.SupportedAlgorithm) (nts.SupportedAlgorithm, bool) {
	for _, id := range q.Algorithms {
		if id == nts.AES128GCMSIV && !q.CompliantGCMSIV {
			continue
		}
		for _, s := range supported {
			if s.ID == id && plausible(s) {
				return s, true
			}
		}
	}
	return nts.SupportedAlgorithm{}, false
}

func plausible(s nts.SupportedAlgorithm) bool {
	switch {
	case s.ID == nts.AES128GCMSIV:
		return s.KeyLen == gcmSIVKeyLen
	case s.ID.Supported():
		return int(s.KeyLen) == s.ID.KeyLen()
	default:
		return minKeyLen <= s.KeyLen && s.KeyLen <= maxKeyLen
	}
}

// firstAlgorithm reports whether the client offers AES-SIV-CMAC-256, which
// every server has to support.
func firstAlgorithm(q nts.KeyExchange) bool {
	return slices.Contains(q.Algorithms, aead.AESSIVCMAC256)
}
