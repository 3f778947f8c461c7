package kalman

import "slices"

// interval is where a source says the truth lies: [low, high], in seconds of
// any common origin.
type interval struct {
	low, high float64
	votes     bool
	incumbent bool // it was selected before
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
		chosen[i] = v.low <= common.high && v.high >= common.low
	}
	return agreeing, common, chosen
}
