// Package srv is about the DNS records that name the servers of a service (RFC
// 2782), as pools of key exchange servers use them: it checks their targets and
// draws the order in which they are tried. It asks nobody.
package srv

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Service is what key exchange servers are found under: Service + "." + domain.
const Service = "_ntske._tcp"

// Most bounds the records that are used of one answer.
const Most = 64

// Record is one SRV record. The target has no last dot.
type Record struct {
	Priority, Weight, Port uint16
	Target                 string
}

// Usable leaves out what names no server: the target "." ("the service is
// decidedly not available at this domain", RFC 2782), addresses, names that do
// not exist in DNS, port 0, and what is there twice. Names come out in lower
// case. At most Most records are left, those of the lowest priorities.
func Usable(records []Record) []Record {
	var out []Record
	seen := make(map[Record]bool)
	for _, r := range records {
		r.Target = strings.ToLower(strings.TrimSuffix(r.Target, "."))
		same := Record{Port: r.Port, Target: r.Target}
		if r.Port == 0 || !isHost(r.Target) || seen[same] {
			continue
		}
		seen[same] = true
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Record) int { return cmp.Compare(a.Priority, b.Priority) })
	return out[:min(len(out), Most)]
}

// isHost reports whether a name can be that of a host.
func isHost(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// Order draws the order in which to try servers. uniform(n) is below n, each
// value with the same probability.
//
// RFC 2782: "A client MUST attempt to contact the target host with the
// lowest-numbered priority it can reach". Among those of one priority, "larger
// weights SHOULD be given a proportionately higher probability of being
// selected", by this procedure: the records stand in any order, but "all those
// with weight 0 are placed at the beginning of the list"; a number from 0 to the
// sum of the weights, both included, is chosen, and the first record whose
// running sum is not below it is next; and so on with those that are left.
func Order(records []Record, uniform func(uint64) uint64) []Record {
	left := slices.Clone(records)
	slices.SortStableFunc(left, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	out := make([]Record, 0, len(left))
	for len(left) > 0 {
		of := 0 // the first so many have the lowest priority
		var sum uint64
		for of < len(left) && left[of].Priority == left[0].Priority {
			sum += uint64(left[of].Weight)
			of++
		}
		at := uniform(sum + 1)
		i, running := 0, uint64(left[0].Weight)
		for running < at {
			i++
			running += uint64(left[i].Weight)
		}
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}
