package pool

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Rules are how sources are selected, besides their weights. The zero value is
// by weights alone.
type Rules struct {
	// Locate tells where a client is, for sources that say their country; nil
	// is nowhere.
	Locate func(netip.Addr) Place

	// OwnerPercent bounds the part of the clients that the sources of one owner
	// get; 0 is no bound. Of few owners each may have an even part.
	OwnerPercent int

	// Shards is how many names 0.NAME, 1.NAME ... the pool has besides its own.
	// Each has sources of its own, so that a client that does not know pools
	// and asks several of them gets different servers.
	Shards int
}

// allShards is a client that came to the pool's own name.
const allShards = -1

// asker is a client, as selection sees it.
type asker struct {
	network netip.Prefix
	family  family
	place   Place
	shard   int
	deny    map[string]bool // by canonical name; nil if it denies nobody
}

// asker is what the rules make of a client.
func (r *Rules) asker(from netip.Addr, serverName string, q nts.KeyExchange) asker {
	a := asker{network: ke.Network(from), family: familyOf(from), shard: r.shard(serverName)}
	if r.Locate != nil {
		a.place = r.Locate(from)
	}
	if len(q.Deny) > 0 {
		a.deny = namesIn(q)
	}
	return a
}

// shard is the number that the name of the pool begins with, by which the
// client came.
func (r *Rules) shard(serverName string) int {
	label, _, more := strings.Cut(serverName, ".")
	if n, err := strconv.Atoi(label); more && err == nil && 0 <= n && n < r.Shards && strconv.Itoa(n) == label {
		return n
	}
	return allShards
}

// shardOf is the shard of a source among so many. It depends on the source
// alone, so that one that comes or goes moves no other.
func shardOf(s Source, shards int) int {
	best, most := 0, uint64(0)
	for n := range shards { // the highest of a hash of both: few move if the number changes
		if h := hash(s.String() + " " + strconv.Itoa(n)); n == 0 || h > most {
			best, most = n, h
		}
	}
	return best
}

// hash is FNV-1a, with its bits mixed once more.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}
