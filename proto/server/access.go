package server

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrPrefix is returned for a filter that cannot be applied.
var ErrPrefix = errors.New("server: prefix reaches beyond the IPv4-mapped addresses")

// Action is what happens to a request that an access list turns away.
type Action uint8

// Actions.
const (
	Ignore Action = iota // no answer
	Deny                 // a DENY kiss
)

// Rule is a filter and what it does.
type Rule struct {
	Filter []netip.Prefix
	Action Action
}

// AccessList decides by the source address who is answered: first whoever is
// on the deny list is turned away, then whoever is not on the allow list. It
// is immutable and safe for use by several goroutines.
//
// An IPv4 client is judged by its IPv4 address even where it arrived on an
// IPv6 socket, and an IPv4-mapped prefix (::ffff:0:0/96 and longer) means its
// IPv4 prefix; so ::/0 does not include IPv4.
type AccessList struct {
	deny, allow             ranges
	denyAction, allowAction Action
}

// NewAccessList makes an access list. deny.Action happens to those on the deny
// list, allow.Action to those who are not on the allow list. Bits behind the
// length of a prefix are ignored. ErrPrefix names an IPv4-mapped prefix shorter
// than /96.
func NewAccessList(deny, allow Rule) (*AccessList, error) {
	d, err := newRanges(deny.Filter)
	if err != nil {
		return nil, fmt.Errorf("deny list: %w", err)
	}
	a, err := newRanges(allow.Filter)
	if err != nil {
		return nil, fmt.Errorf("allow list: %w", err)
	}
	return &AccessList{deny: d, allow: a, denyAction: deny.Action, allowAction: allow.Action}, nil
}

// Everyone is the allow list that turns nobody away.
func Everyone() Rule {
	return Rule{Filter: []netip.Prefix{
		netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		netip.PrefixFrom(netip.IPv4Unspecified(), 0),
	}}
}

// Check reports whether a is answered, and if not, what happens to it. A nil
// list answers everyone.
func (l *AccessList) Check(a netip.Addr) (allowed bool, otherwise Action) {
	switch {
	case l == nil:
		return true, Ignore
	case l.deny.contains(a):
		return false, l.denyAction
	case !l.allow.contains(a):
		return false, l.allowAction
	default:
		return true, Ignore
	}
}
