package pool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/lookup"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// Members of a pool can be listed in DNS, by SRV records that DNSSEC signs:
// then any number of pools share one list, and whoever may change the zone
// keeps it. A list without that proof is never used, since the clients' keys go
// to who is on it.

const (
	// How long a list is used before it is asked for again, whatever its time
	// to live says.
	DiscoverAtLeast = time.Minute
	DiscoverAtMost  = time.Hour
)

// ErrNobody is a list on which there is nobody.
var ErrNobody = errors.New("there is no usable SRV record")

// Discover asks a resolver for the SRV records of _ntske._tcp below a domain.
// The resolver must validate and be trusted, with the way to it: its word for it
// that the answer is secure (the AD bit) is taken. It returns how long the
// answer is good for.
func Discover(ctx context.Context, resolver netip.AddrPort, domain string) ([]srv.Record, time.Duration, error) {
	a, err := lookup.Ask(ctx, resolver, domain)
	if err != nil {
		return nil, 0, err
	}
	records := srv.Usable(a.Records)
	switch {
	case !a.Secure:
		err = lookup.ErrInsecure
	case len(records) == 0:
		err = ErrNobody
	default:
		return records, min(max(a.TTL, DiscoverAtLeast), DiscoverAtMost), nil
	}
	return nil, 0, fmt.Errorf("look up SRV %s.%s at %v: %w", srv.Service, domain, resolver, err)
}

// SourcesOf makes sources of records. Those of the lowest priority get clients
// by their weights, or evenly if all weights are 0; the others are watched, as
// sources of weight 0 are. token gives the token of each.
func SourcesOf(records []srv.Record, token func(domain string, port uint16) nts.Secret) []Source {
	even := uint32(1)
	for _, r := range records {
		if r.Priority == records[0].Priority && r.Weight > 0 {
			even = 0
		}
	}
	list := make([]Source, 0, len(records))
	for _, r := range records {
		s := Source{Domain: r.Target, Port: r.Port, Token: token(r.Target, r.Port), Weight: uint32(r.Weight) + even}
		if r.Priority != records[0].Priority {
			s.Weight = 0
		}
		list = append(list, s)
	}
	return list
}

// MemberToken is the token of one member out of a secret that all of a
// pool's front ends have: a token that leaks opens one member only.
func MemberToken(secret []byte, domain string, port uint16) nts.Secret {
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "ntpd-go pool member\x00%s\x00%d", nts.CanonicalServer(domain), port)
	return nts.Secret(hex.EncodeToString(h.Sum(nil)))
}

// Sample draws so many sources by weight, each once. It is what a zone lists of
// a pool whose members are too many for one answer.
func Sample(sources []Source, n int, uniform func(uint64) uint64) []Source {
	candidates := make([]candidate, len(sources))
	for i, s := range sources {
		candidates[i] = candidate{weight: s.Weight, quality: fullQuality, tier: elsewhere}
	}
	d := newDrawing(candidates, make([]bool, len(sources)))
	var out []Source
	for len(out) < n {
		i, ok := d.next(uniform)
		if !ok {
			break
		}
		out = append(out, sources[i])
	}
	return out
}
