package server

import (
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(t testing.TB, texts ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func access(t testing.TB, deny, allow Rule) *AccessList {
	t.Helper()
	l, err := NewAccessList(deny, allow)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAccessList(t *testing.T) {
	everyone := Everyone()
	for _, test := range []struct {
		name        string
		deny, allow Rule
		addr        string
		allowed     bool
		otherwise   Action
	}{
		{"everyone, IPv4", Rule{}, everyone, "192.0.2.1", true, Ignore},
		{"everyone, IPv6", Rule{}, everyone, "2001:db8::1", true, Ignore},
		{"everyone, mapped", Rule{}, everyone, "::ffff:192.0.2.1", true, Ignore},
		{"nobody", Rule{}, Rule{Action: Deny}, "192.0.2.1", false, Deny},
		{"denied", Rule{prefixes(t, "192.0.2.0/24"), Deny}, everyone, "192.0.2.255", false, Deny},
		{"below the denied", Rule{prefixes(t, "192.0.2.0/24"), Deny}, everyone, "192.0.1.255", true, Ignore},
		{"above the denied", Rule{prefixes(t, "192.0.2.0/24"), Deny}, everyone, "192.0.3.0", true, Ignore},
		{"denied and allowed: denied", Rule{prefixes(t, "192.0.2.1/32"), Deny}, Rule{prefixes(t, "192.0.2.0/24"), Ignore}, "192.0.2.1", false, Deny},
		{"each list has its action", Rule{prefixes(t, "192.0.2.1/32"), Ignore}, Rule{prefixes(t, "192.0.2.0/24"), Deny}, "192.0.2.1", false, Ignore},
		{"not allowed", Rule{nil, Ignore}, Rule{prefixes(t, "192.0.2.0/24"), Deny}, "198.51.100.1", false, Deny},
		{"mapped client, IPv4 rule", Rule{prefixes(t, "192.0.2.0/24"), Deny}, everyone, "::ffff:192.0.2.1", false, Deny},
		{"IPv4 client, mapped rule", Rule{prefixes(t, "::ffff:192.0.2.0/120"), Deny}, everyone, "192.0.2.1", false, Deny},
		{"all IPv6 is not IPv4", Rule{prefixes(t, "::/0"), Deny}, everyone, "192.0.2.1", true, Ignore},
		{"all IPv6 is not mapped IPv4", Rule{prefixes(t, "::/0"), Deny}, everyone, "::ffff:192.0.2.1", true, Ignore},
		{"all IPv4 is not IPv6", Rule{prefixes(t, "0.0.0.0/0"), Deny}, everyone, "::1", true, Ignore},
		{"host bits", Rule{prefixes(t, "192.0.2.77/24"), Deny}, everyone, "192.0.2.1", false, Deny},
		{"zone of the only one", Rule{prefixes(t, "fe80::1/128"), Deny}, everyone, "fe80::1%eth0", false, Deny},
		{"zone", Rule{prefixes(t, "fe80::/10"), Deny}, everyone, "fe80::1%eth0", false, Deny},
		{"within a wider one", Rule{prefixes(t, "10.0.0.0/8", "10.1.0.0/16"), Deny}, everyone, "10.200.0.1", false, Deny},
	} {
		t.Run(test.name, func(t *testing.T) {
			allowed, otherwise := access(t, test.deny, test.allow).Check(netip.MustParseAddr(test.addr))
			if allowed != test.allowed || otherwise != test.otherwise {
				t.Errorf("allowed %v, otherwise %v", allowed, otherwise)
			}
		})
	}
	if allowed, _ := (*AccessList)(nil).Check(netip.IPv4Unspecified()); !allowed {
		t.Error("no list turned someone away")
	}
	if allowed, _ := new(AccessList).Check(netip.IPv4Unspecified()); allowed {
		t.Error("an empty list let someone in")
	}
}

func TestAccessListRefusesPrefixesBeyondIPv4(t *testing.T) {
	for _, bad := range []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/95"), {}} {
		if _, err := NewAccessList(Rule{Filter: []netip.Prefix{bad}}, Everyone()); !errors.Is(err, ErrPrefix) {
			t.Errorf("deny %v: %v", bad, err)
		}
		if _, err := NewAccessList(Rule{}, Rule{Filter: []netip.Prefix{bad}}); !errors.Is(err, ErrPrefix) {
			t.Errorf("allow %v: %v", bad, err)
		}
	}
	if _, err := NewAccessList(Rule{Filter: prefixes(t, "::ffff:0:0/96")}, Everyone()); err != nil {
		t.Error(err)
	}
}

// genAddr draws addresses that lie close together, so that they hit prefixes
// and their edges.
func genAddr(t *rapid.T, label string) netip.Addr {
	if rapid.Bool().Draw(t, label+" is IPv4") {
		b := [4]byte{10, 0, 0, 0}
		b[rapid.IntRange(1, 3).Draw(t, "octet")] = rapid.SampledFrom([]byte{0, 1, 127, 128, 254, 255}).Draw(t, "value")
		return netip.AddrFrom4(b)
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	b[rapid.IntRange(4, 15).Draw(t, "octet")] = rapid.SampledFrom([]byte{0, 1, 127, 128, 254, 255}).Draw(t, "value")
	return netip.AddrFrom16(b)
}

// TestRangesAgreeWithPrefixes compares the search with asking every prefix.
func TestRangesAgreeWithPrefixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(t, "prefixes") {
			a := genAddr(t, "prefix")
			all = append(all, netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
		}
		r, err := newRanges(all)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			a := genAddr(t, "client")
			want := false
			for _, p := range all {
				want = want || p.Contains(a)
			}
			if got := r.contains(a); got != want {
				t.Fatalf("%v in %v: %v", a, all, got)
			}
			if a.Is4() && r.contains(netip.AddrFrom16(a.As16())) != want {
				t.Fatalf("%v mapped into IPv6 differs", a)
			}
		}
	})
}
