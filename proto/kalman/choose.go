package kalman

import "slices"

// interval is where a source says the truth lies: [low, high], in seconds of
// any common origin.
type interval struct {
	low, high float64
	claimed   float64 // so much of it, at either end, is the error that the server claims for itself
	votes     bool
	incumbent bool // it was selected before
}

// touches reports whether two intervals have a point in common.
func (v interval) touches(o interval) bool { return v.low <= o.high && v.high >= o.low }

// measured is the interval without the error that the server claims.
func (v interval) measured() interval {
	v.low, v.high, v.claimed = v.low+v.claimed, v.high-v.claimed, 0
	return v
}

// lenient is wider by half for one that was selected, so that nobody comes and
// goes at an edge.
func (v interval) lenient() interval {
	if v.incumbent {
		slack := (v.high - v.low) / 4
		v.low, v.high = v.low-slack, v.high+slack
	}
	return v
}

// choose finds the largest group of voting intervals that have a point in
// common. It returns how many they are, what they have in common, and which
// intervals, voting or not, touch that. This is the idea of RFC 5905 section
// 11.2.1. Of equally large groups the one with more incumbents wins, then the
// one whose common part is narrower.
func choose(all []interval) (agreeing int, common interval, chosen []bool) {
	chosen = make([]bool, len(all))
	type end struct {
		at   float64
		open bool
	}
	ends := make([]end, 0, 2*len(all))
	for _, v := range all {
		if v.votes {
			ends = append(ends, end{v.low, true}, end{v.high, false})
		}
	}
	slices.SortFunc(ends, func(a, b end) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		case a.open == b.open:
			return 0
		case a.open: // touching intervals agree
			return -1
		default:
			return 1
		}
	})
	depth, incumbents := 0, -1
	for i, e := range ends {
		if !e.open {
			depth--
			continue
		}
		depth++
		if depth < agreeing || ends[i+1].open {
			continue // the group still grows
		}
		l, h := e.at, ends[i+1].at
		n := 0
		for _, v := range all {
			if v.votes && v.incumbent && v.low <= l && v.high >= h {
				n++
			}
		}
		if depth > agreeing || n > incumbents || (n == incumbents && h-l < common.high-common.low) {
			agreeing, incumbents, common.low, common.high = depth, n, l, h
		}
	}
	if agreeing == 0 {
		return 0, common, chosen
	}
	for i, v := range all {
		chosen[i] = v.touches(common)
	}
	return agreeing, common, chosen
}

// useful are those of the chosen intervals that touch the common part by what
// was measured of them. Whoever claims a large error for itself agrees with
// everybody, wherever it is; so it may agree, but not lead. And whoever claims
// none makes that part narrow, wherever it is: so if a majority agrees by what
// was measured alone, its common part counts. Where the common part lies in what
// is claimed alone, as between two rough servers, all are of use.
func useful(all []interval, common interval, chosen []bool) []bool {
	bare := make([]interval, len(all))
	voters := 0
	for i, v := range all {
		bare[i] = v.measured()
		bare[i].votes = v.votes && chosen[i]
		if v.votes {
			voters++
		}
	}
	if agreeing, core, _ := choose(bare); 2*agreeing > voters {
		common = core
	}
	use, some := make([]bool, len(chosen)), false
	for i, v := range bare {
		use[i] = chosen[i] && v.lenient().touches(common)
		some = some || use[i] && v.votes
	}
	if !some {
		return chosen
	}
	return use
}
