package pool

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
	var sources, owners int
	seen := make([]bool, d.mostOwners())
	for t := range elsewhere {
		for _, i := range d.left {
			c := &d.candidates[i]
			if c.tier != t || c.health != healthy || c.known {
				continue
			}
			sources++
			if o := d.ownerOf(i); !seen[o] {
				seen[o] = true
				owners++
			}
		}
		if sources >= leastChoice && owners >= leastOwners {
			return t
		}
	}
	return elsewhere
}

// ownerOf is a number for the owner of a candidate, below mostOwners; one
// without is its own.
func (d *drawing) ownerOf(i int) int {
	if o := d.candidates[i].owner; o != 0 {
		return len(d.candidates) + o
	}
	return i
}

func (d *drawing) mostOwners() int {
	most := 0
	for _, i := range d.left {
		most = max(most, d.candidates[i].owner)
	}
	return len(d.candidates) + most + 1
}

// capOwners cuts the shares of owners with more than the limit, of those that
// are drawn first. With few owners the limit is an even share.
func (d *drawing) capOwners(limit float64) {
	sums := make([]float64, d.mostOwners())
	var total float64
	for _, i := range d.left {
		if c := &d.candidates[i]; c.rank() == rankFirst {
			sums[d.ownerOf(i)] += float64(d.shares[i])
			total += float64(d.shares[i])
		}
	}
	count := 0
	for _, sum := range sums {
		if sum > 0 {
			count++
		}
	}
	if count == 0 {
		return
	}
	limit = max(limit, 1/float64(count))
	// The largest are cut, all to the same: limit = cut / (k·cut + rest).
	// There are fewer than 1/limit of them.
	rest, factors, smallest := total, make([]float64, len(sums)), 0.0
	var over []int
	for {
		next := -1
		for o, sum := range sums {
			if factors[o] == 0 && sum > 0 && (next < 0 || sum > sums[next]) {
				next = o
			}
		}
		left := 1 - float64(len(over))*limit
		if next < 0 || left <= 0 || sums[next] <= limit*rest/left*(1+1e-9) {
			break
		}
		rest -= sums[next]
		factors[next], smallest = 1, sums[next]
		over = append(over, next)
	}
	if len(over) == 0 {
		return
	}
	cut := smallest // if all are cut
	if left := 1 - float64(len(over))*limit; left > 1e-9 && rest > 0 {
		cut = limit * rest / left
	}
	for _, o := range over {
		factors[o] = cut / sums[o]
	}
	for _, i := range d.left {
		if by := factors[d.ownerOf(i)]; by > 0 && d.candidates[i].rank() == rankFirst {
			d.shares[i] = max(1, uint64(float64(d.shares[i])*by))
		}
	}
}
