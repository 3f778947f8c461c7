package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// smeared are the domains whose servers spread leap seconds over a day. Their
// operators say so; it cannot be measured before there is a leap second.
var smeared = []string{"time.google.com", "google.com", "amazonaws.com", "aws.com", "facebook.com", "meta.com"}

// operators looks whether all sources could be wrong together.
func (e *exam) operators() {
	if len(e.sources) < 2 {
		return
	}
	e.twice()
	domains, nets := map[string]bool{}, map[netip.Prefix]bool{}
	names := 0
	for _, s := range e.sources {
		if s.pool() {
			return // many operators behind one name
		}
		if s.literal {
			a, err := netip.ParseAddr(s.name)
			if err != nil || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
				return // a network of one's own: one operator is meant
			}
			nets[around(a)] = true
			continue
		}
		if d := registrable(s.name); d != "" {
			names++
			domains[d] = true
		}
	}
	fix := "add sources of other operators: what one gets wrong, all of theirs get wrong"
	switch {
	case names == len(e.sources) && len(domains) == 1:
		for d := range domains {
			e.warn("operators", d, fmt.Sprintf("all %d sources are names of this one domain", names), "sources of several operators", fix)
		}
	case len(nets) == 1 && names == 0 && !e.documentation():
		for n := range nets {
			e.warn("operators", n.String(), fmt.Sprintf("all %d sources are in this one network", len(e.sources)), "sources of several operators", fix)
		}
	case names > 0:
		e.ok("operators", "", fmt.Sprintf("%d domains for %d sources", len(domains)+len(nets), len(e.sources)))
	}
	e.smearing()
}

func (e *exam) documentation() bool {
	return slices.ContainsFunc(nobody, e.inUse)
}

// around is the network that one operator usually has.
func around(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// registrable is the part of a name that somebody registered: the last two
// labels, or three below the likes of co.uk. A single label is nobody's.
func registrable(name string) string {
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(name), "."), ".")
	n := len(labels)
	switch {
	case n < 2:
		return ""
	case n >= 3 && len(labels[n-1]) == 2 && len(labels[n-2]) <= 3:
		return strings.Join(labels[n-3:], ".")
	default:
		return strings.Join(labels[n-2:], ".")
	}
}

// twice finds sources that are one and the same server.
func (e *exam) twice() {
	first := map[netip.AddrPort]*source{}
	for _, s := range e.sources {
		if s.pool() || s.said {
			continue
		}
		for _, a := range s.found {
			at := netip.AddrPortFrom(a, s.Address.Port)
			if other := first[at]; other != nil && other != s {
				e.warn("operators", s.name, fmt.Sprintf("is the same server as %s (%v)", other.name, at), "sources that are different servers", "remove one: the same server twice is no second opinion")
				break
			}
			first[at] = s
		}
	}
}

// smearing warns of a mixture that comes apart at the next leap second.
func (e *exam) smearing() {
	var smear, plain []string
	for _, s := range e.sources {
		if slices.Contains(smeared, registrable(s.name)) || s.name == "169.254.169.123" || s.name == "fd00:ec2::123" {
			smear = append(smear, s.name)
		} else {
			plain = append(plain, s.name)
		}
	}
	if len(smear) > 0 && len(plain) > 0 {
		e.warn("leap-smear", strings.Join(smear, " "), "spread leap seconds over a day, as "+strings.Join(plain, " ")+" do not", "all sources alike",
			"use either kind alone: at a leap second they differ by up to half a second")
	}
}
