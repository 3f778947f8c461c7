package kalman

// Trust says what the votes of authenticated sources are worth beside those
// of others, who may be anybody on the path.
type Trust uint8

// What authentication is worth.
const (
	// TrustOutvotes gives the vote to authenticated sources alone as soon as
	// one of them can vote. Others are used where they agree with those.
	TrustOutvotes Trust = iota
	// TrustRequired never gives the vote to others.
	TrustRequired
	// TrustIgnored makes all equal.
	TrustIgnored
)

// franchise takes the vote from those who have none beside authenticated
// sources, and returns how many are left of the voters.
func (d *Discipline) franchise(all []interval, voters int) int {
	trusted := 0
	for i, s := range d.sources {
		if all[i].votes && s.cfg.Trusted {
			trusted++
		}
	}
	d.exclusive = d.set.Trust == TrustRequired || d.set.Trust == TrustOutvotes && trusted > 0
	if !d.exclusive {
		return voters
	}
	for i, s := range d.sources {
		all[i].votes = all[i].votes && s.cfg.Trusted
	}
	return trusted
}

// supporters is how many sources agree that could have a vote, whether or not
// they have it beside authenticated ones.
func (d *Discipline) supporters(chosen []bool) int {
	n := 0
	for i, s := range d.sources {
		if chosen[i] && s.cfg.Voting {
			n++
		}
	}
	return n
}
