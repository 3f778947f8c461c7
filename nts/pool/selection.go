package pool

import (
	"cmp"
	"net"
	"slices"
	"strconv"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Source is a time source as the configuration names it.
type Source struct {
	Domain string // of its key-exchange server: a domain name or an address
	Port   uint16
}

// String is the domain and the port.
func (s Source) String() string {
	return net.JoinHostPort(s.Domain, strconv.Itoa(int(s.Port)))
}

// candidate is what selection knows about a source at the moment of a request.
type candidate struct {
	source  Source
	names   []string // by which its NTP server has gone
	failing bool     // it failed lately
}

// goesBy reports whether a client may mean this source by the name: clients
// know the name of the NTP server, which is that of the key exchange if the
// source does not say another.
func (c *candidate) goesBy(name string) bool {
	return nts.SameServer(name, c.source.Domain) ||
		slices.ContainsFunc(c.names, func(n string) bool { return nts.SameServer(name, n) })
}

// order lists the candidates to try for a request, as indices. Each turn
// begins with another one, so that the clients spread. Those that the client
// denies are left out; the one that it wishes comes first; those that failed
// lately come last.
func order(candidates []candidate, turn uint64, q nts.KeyExchange) []int {
	n := len(candidates)
	var list []int
	for i := range n {
		c := int((turn + uint64(i)) % uint64(n))
		denied := slices.ContainsFunc(q.Deny, func(d nts.Deny) bool { return candidates[c].goesBy(d.Name) })
		if !denied {
			list = append(list, c)
		}
	}
	rank := func(c int) int {
		switch {
		case candidates[c].failing:
			return 2
		case q.Server != "" && candidates[c].goesBy(q.Server):
			return 0
		default:
			return 1
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

// Bounds on the length of a key in octets, for algorithms that only the client
// and the source know.
const (
	minKeyLen = 16
	maxKeyLen = 64
)

// choose picks the first algorithm of the client's list that the source
// supports. The source says how long the keys are, so that a pool can serve
// algorithms that it does not know itself.
func choose(offered []aead.Algorithm, supported []nts.SupportedAlgorithm) (nts.SupportedAlgorithm, bool) {
	for _, id := range offered {
		if id == nts.AES128GCMSIV {
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
	if s.ID.Supported() {
		return int(s.KeyLen) == s.ID.KeyLen()
	}
	return minKeyLen <= s.KeyLen && s.KeyLen <= maxKeyLen
}
