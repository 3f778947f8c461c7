package server

import (
	"fmt"
	"net/netip"
	"slices"
)

// span is the addresses from lo to hi, both included, of one family. All IPv4
// addresses compare less than all IPv6 ones.
type span struct{ lo, hi netip.Addr }

// ranges is a set of addresses as disjoint spans in ascending order, IPv4
// before IPv6, so that a look-up is one binary search however long the lists
// are.
type ranges []span

// newRanges makes the set of all addresses within the prefixes.
func newRanges(prefixes []netip.Prefix) (ranges, error) {
	var all ranges
	for _, p := range prefixes {
		c, err := canonical(p)
		if err != nil {
			return nil, err
		}
		all = append(all, span{c.Addr(), last(c)})
	}
	slices.SortFunc(all, func(a, b span) int { return a.lo.Compare(b.lo) })
	merged := all[:0]
	for _, s := range all {
		if n := len(merged); n > 0 && !merged[n-1].hi.Less(s.lo) {
			if merged[n-1].hi.Less(s.hi) {
				merged[n-1].hi = s.hi
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged, nil
}

// contains reports whether the address is in the set. An IPv4-mapped address
// counts as IPv4, and a zone is ignored.
func (r ranges) contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	lo, hi := 0, len(r)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if a.Less(r[mid].lo) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo > 0 && !r[lo-1].hi.Less(a)
}

// canonical clears the host bits and turns an IPv4-mapped prefix into its IPv4
// prefix.
func canonical(p netip.Prefix) (netip.Prefix, error) {
	a, bits := p.Addr().WithZone(""), p.Bits()
	if !p.IsValid() {
		return p, fmt.Errorf("%w: %v", ErrPrefix, p)
	}
	if a.Is4In6() {
		if bits < 96 {
			return p, fmt.Errorf("%w: %v is shorter than /96", ErrPrefix, p)
		}
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a, bits).Masked(), nil
}

// last is the highest address of a canonical prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
