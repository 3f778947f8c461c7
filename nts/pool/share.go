package pool

import (
	"cmp"
	"slices"
)

// A client is drawn a source from its own country if there is choice; if not,
// from its continent as well, and then from everywhere. Without that, whoever
// puts a server into a country that has none would get all of its clients.
const (
	leastChoice = 8 // sources
	leastOwners = 4
)

// fullQuality is that of a source about which there is nothing to say.
const fullQuality = 1000

// arrange turns the weights of a drawing into the shares by which it draws:
// bad and distant sources get less, those beyond the widest tier that is needed
// come after the others, and no owner gets more than ownerPercent of a draw.
func (d *drawing) arrange(ownerPercent int) {
	plain := ownerPercent <= 0 || ownerPercent >= 100
	near := false
	for _, i := range d.left {
		c := &d.candidates[i]
		plain = plain && c.quality == fullQuality && c.tier == elsewhere
		near = near || c.tier != elsewhere
	}
	if plain {
		return
	}
	widest := elsewhere
	if near {
		widest = d.widest()
	}
	for _, i := range d.left {
		c := &d.candidates[i]
		d.shares[i] = max(1, d.shares[i]*uint64(c.quality))
		if near {
			d.shares[i] *= nearness[c.tier]
			c.beyond = c.tier > widest
		}
	}
	if 0 < ownerPercent && ownerPercent < 100 {
		d.capOwners(float64(ownerPercent) / 100)
	}
}

// widest is the tier up to which there is choice.
func (d *drawing) widest() tier {
	var sources int
	owners := make(map[int]bool)
	for t := range elsewhere {
		for _, i := range d.left {
			c := &d.candidates[i]
			if c.tier == t && c.health == healthy && !c.known {
				sources++
				owners[c.ownerOr(i)] = true
			}
		}
		if sources >= leastChoice && len(owners) >= leastOwners {
			return t
		}
	}
	return elsewhere
}

// ownerOr is the owner of a candidate; one without is its own.
func (c *candidate) ownerOr(i int) int {
	if c.owner == 0 {
		return -1 - i
	}
	return c.owner
}

// capOwners cuts the shares of owners with more than the limit, of those that
// are drawn first. With few owners the limit is an even share.
func (d *drawing) capOwners(limit float64) {
	sums := make(map[int]float64)
	var total float64
	for _, i := range d.left {
		if c := &d.candidates[i]; c.rank() == rankFirst {
			sums[c.ownerOr(i)] += float64(d.shares[i])
			total += float64(d.shares[i])
		}
	}
	if len(sums) == 0 {
		return
	}
	type owner struct {
		id  int
		sum float64
	}
	owners := make([]owner, 0, len(sums))
	for id, sum := range sums {
		owners = append(owners, owner{id, sum})
	}
	slices.SortFunc(owners, func(a, b owner) int { return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(a.id, b.id)) })
	limit = max(limit, 1/float64(len(owners)))
	// The largest k are cut to the same: limit = cut / (k·cut + rest).
	rest, factor := total, make(map[int]float64)
	for k, o := range owners {
		left := 1 - float64(k)*limit
		if left <= 0 || o.sum <= limit*rest/left*(1+1e-9) {
			break
		}
		rest -= o.sum
		factor[o.id] = 0
	}
	if len(factor) == 0 {
		return
	}
	cut := owners[len(owners)-1].sum // if all are cut
	if left := 1 - float64(len(factor))*limit; left > 1e-9 && rest > 0 {
		cut = limit * rest / left
	}
	for _, i := range d.left {
		id := d.candidates[i].ownerOr(i)
		if _, over := factor[id]; over && d.candidates[i].rank() == rankFirst {
			d.shares[i] = max(1, uint64(float64(d.shares[i])*cut/sums[id]))
		}
	}
}
