package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// poolCount is how many servers the client wants of a name that has twice as many.
const poolCount = 4

// silent never answers.
func silent(*scene.Asked) [][]byte { return [][]byte{} }

// deadMembers has a pool in which one address is nobody's, one server never answers, and some die while they are used.
func deadMembers(t *scene.Trial) {
	h := t.Host("host")
	t.Check(h.IP("addr", "add", "10.66.0.1/16", "dev", "lo"))
	t.Check(h.SetResolver(netip.MustParseAddr("127.0.0.53")))
	members := map[netip.Addr]*scene.Upstream{}
	var addrs []netip.Addr
	for i := range byte(2 * poolCount) {
		a := netip.AddrFrom4([4]byte{10, 66, 0, 2 + i})
		if addrs = append(addrs, a); i > 0 {
			members[a] = t.Upstream(h, netip.AddrPortFrom(a, 123).String())
		}
	}
	members[addrs[1]].Script(silent)
	// As those of a pool do, the name server begins each answer with another of them.
	dns := t.ServeDNS(h, "127.0.0.53:53", map[string]scene.DNS{"members.test": {Addrs: addrs, Rotate: true}})
	d := t.Daemon(h, "client", fmt.Sprintf("%s[[source]]\nmode = \"pool\"\naddress = \"members.test\"\ncount = %d\n", scene.Client, poolCount))
	first := fullPool(t, d, 40*time.Second, addrs[:2])
	t.Synchronised(d, 20*time.Second)
	t.Control("%d members are followed, although one address of eight is nobody's and one server never answers", poolCount)

	used := slices.SortedFunc(maps.Keys(first), netip.Addr.Compare)
	dead, spared := used[:poolCount/2], used[poolCount/2:]
	for _, a := range dead {
		members[a].Script(silent)
	}
	began := time.Now()
	second := fullPool(t, d, 40*time.Second, append(addrs[:2:2], dead...))
	took := time.Since(began)
	if took < 5*time.Second {
		t.Fatal("members were given up after %v: a short fault would have been enough", took)
	}
	for _, a := range spared {
		if second[a].ID != first[a].ID {
			t.Fatal("%v answered all the time and was given up", a)
		}
	}
	// Who is dead is left in peace, and names are not asked for without need.
	before, queries := asks(members, dead), dns.Queries()
	t.Hold(4*time.Second, func() error {
		_, err := poolOf(d)
		return err
	})
	if n := asks(members, dead) - before; n > 0 {
		t.Fatal("the dead were asked %d times after they had been replaced", n)
	}
	if n := dns.Queries() - queries; n > 0 {
		t.Fatal("%d queries although nothing is missing", n)
	}
	s := t.MustState(d)
	if !s.Own.Synchronised || s.Own.Steps > 0 {
		t.Fatal("synchronised %v, %d steps", s.Own.Synchronised, s.Own.Steps)
	}
	t.Saw("%d of %d that were used died and were replaced after %.0f s, the others stayed; never more than %d, never one twice; %d queries in all",
		len(dead), poolCount, took.Seconds(), poolCount, queries)
}

// fullPool waits until a client has as many servers as it wants, all of which answer, and none of which is dead.
func fullPool(t *scene.Trial, d *scene.Daemon, within time.Duration, dead []netip.Addr) map[netip.Addr]scene.Source {
	var used map[netip.Addr]scene.Source
	t.Eventually(within, func() (err error) {
		if used, err = poolOf(d); err != nil {
			return err
		}
		if len(used) < poolCount {
			return fmt.Errorf("%d servers are used", len(used))
		}
		for a, s := range used {
			if slices.Contains(dead, a) || s.Reach&3 != 3 {
				return fmt.Errorf("%s is used still, reach %b (%s)", a, s.Reach, s.Text)
			}
		}
		return nil
	})
	return used
}

// poolOf are the servers that a client uses: at no moment more than were asked for, and no address twice.
func poolOf(d *scene.Daemon) (map[netip.Addr]scene.Source, error) {
	state, err := d.State()
	if err != nil {
		return nil, err
	}
	used := map[netip.Addr]scene.Source{}
	for _, s := range state.Own.Sources {
		if s.ID == 0 || s.Address == "" {
			continue
		}
		at, err := netip.ParseAddrPort(s.Address)
		if err != nil {
			return nil, lab.Final{Err: err}
		}
		if _, twice := used[at.Addr()]; twice {
			return nil, lab.Final{Err: fmt.Errorf("%s is used twice", at)}
		}
		used[at.Addr()] = s
	}
	if len(used) > poolCount {
		return nil, lab.Final{Err: fmt.Errorf("%d servers are used, %d were asked for", len(used), poolCount)}
	}
	return used, nil
}

// asks is how often servers were asked.
func asks(members map[netip.Addr]*scene.Upstream, some []netip.Addr) (n int) {
	for _, a := range some {
		n += len(members[a].Requests())
	}
	return n
}
