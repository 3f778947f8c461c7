package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks by name servers.
var nameRows = []scene.Row{
	{ID: "T57", What: "a name server that fails, dawdles, loops, lies with 500 addresses, or names this machine", Prove: hostileDNS},
}

func hostileDNS(t *scene.Trial) {
	h := t.Host("host")
	t.Check(h.IP("addr", "add", "10.66.0.1/16", "dev", "lo"))
	t.Check(h.SetResolver(netip.MustParseAddr("127.0.0.53")))
	own := netip.MustParseAddr("10.66.0.1") // the client's, by which it is known to be this machine
	good := func(i byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{10, 66, 0, i})} }
	loopback := netip.MustParseAddr("127.0.0.1") // it serves there, too, and this tells nobody's machine from another
	var servers strings.Builder
	for i := range byte(3) {
		fmt.Fprintf(&servers, "[[server]]\nlisten = \"%s:123\"\n", good(2 + i)[0])
	}
	server := t.Daemon(h, "server", servers.String()+"[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(server, "10.66.0.2:123")
	// What is sent to these leaves, and nobody answers: each makes room for the next one that is known.
	t.Check(h.IP("route", "add", "10.68.0.0/16", "dev", "lo"))
	var many []netip.Addr
	for i := range 500 {
		many = append(many, netip.AddrFrom4([4]byte{10, 68, byte(i / 250), byte(2 + i%250)}))
	}
	zone := hostileZone(good, many)
	zone["self.test"] = scene.DNS{Addrs: []netip.Addr{own, loopback}}
	zone["own.test"], zone["loopback.test"] = scene.DNS{Addrs: []netip.Addr{own}}, scene.DNS{Addrs: []netip.Addr{loopback}}
	dns := t.ServeDNS(h, "127.0.0.53:53", zone)
	var text strings.Builder
	fmt.Fprintf(&text, "%s[[server]]\nlisten = \"%s:123\"\n[[server]]\nlisten = \"127.0.0.1:123\"\n", scene.Client, own)
	names := []string{"good.test", "many.test", "self.test", "fails.test", "absent.test", "slow.test", "silent.test", "garbage.test", "loop.test", "zero.test", "multicast.test", "broadcast.test"}
	for _, name := range names {
		fmt.Fprintf(&text, "[[source]]\nmode = \"pool\"\naddress = %q\ncount = 2\n", name)
	}
	// Asked for one by one, they lead to the daemon itself.
	for _, name := range []string{"own.test", "loopback.test"} {
		fmt.Fprintf(&text, "[[source]]\nmode = \"server\"\naddress = %q\n", name)
	}
	wire := t.Sniff(h, "lo")
	d := t.Daemon(h, "client", text.String())
	t.Eventually(40*time.Second, func() error {
		s, err := d.State()
		if err != nil {
			return err
		}
		for _, row := range s.Own.Sources {
			if row.Source == 0 && row.Taken() >= 3 {
				return nil
			}
		}
		return fmt.Errorf("nothing from good.test yet")
	})
	t.Control("a name with an address is followed among those that fail")
	// Of an answer as many addresses are used as are wanted, and at least four. All have been tried when these have, however
	// long nobody answers.
	const usable = 4
	silent := func() (n int) {
		for a := range askedOf(wire) {
			if slices.Contains(many, a) {
				n++
			}
		}
		return n
	}
	t.Eventually(40*time.Second, func() error { return atLeast(silent(), usable) })
	t.Pause(15 * time.Second)
	if n := silent(); n > usable {
		t.Fatal("%d of 500 addresses of one answer were asked", n)
	}
	asked := askedOf(wire)
	for to := range asked {
		// The loopback interface is where a request to 0.0.0.0 goes, too.
		if a := to.As4(); to != loopback && (a[0] != 10 || a[1] != 66 && a[1] != 68) {
			t.Fatal("a request to %s", to)
		}
	}
	if !asked[own] || !asked[loopback] {
		t.Fatal("the client's own server was not asked: the row shows nothing of it")
	}
	judgeNames(t, d, names)
	spent, err := lab.CPU(d.Pid())
	t.Check(err)
	if spent > 5*time.Second {
		t.Fatal("%v of processor time", spent)
	}
	queries := dns.Queries()
	if queries > 600 {
		t.Fatal("%d queries in about a minute", queries)
	}
	// It recovers without a restart.
	zone["fails.test"] = scene.DNS{Addrs: good(4)}
	dns.Set(zone)
	t.Samples(d, slices.Index(names, "fails.test"), 0, 2, 60*time.Second)
	t.Alive(d.Process)
	t.Saw("%d of 500 addresses that do not answer were asked, %d in all, the client's own is no source of time, %d queries, %v of processor time",
		usable, len(asked), queries, spent)
}

// hostileZone has names of every kind. The addresses of many do not answer.
func hostileZone(good func(i byte) []netip.Addr, many []netip.Addr) map[string]scene.DNS {
	return map[string]scene.DNS{
		"good.test":      {Addrs: good(2)},
		"many.test":      {Addrs: many},
		"fails.test":     {Code: dnsmessage.RCodeServerFailure},
		"absent.test":    {Code: dnsmessage.RCodeNameError},
		"slow.test":      {Addrs: good(3), Delay: 7 * time.Second},
		"silent.test":    {Silent: true},
		"garbage.test":   {Garbage: true},
		"loop.test":      {Alias: "pool2.test"},
		"pool2.test":     {Alias: "loop.test"},
		"zero.test":      {Addrs: []netip.Addr{netip.MustParseAddr("0.0.0.0")}},
		"multicast.test": {Addrs: []netip.Addr{netip.MustParseAddr("224.0.1.1")}},
		"broadcast.test": {Addrs: []netip.Addr{netip.MustParseAddr("255.255.255.255")}},
	}
}

// askedOf are the addresses to which requests left.
func askedOf(wire *scene.Sniffer) map[netip.Addr]bool {
	asked := map[netip.Addr]bool{}
	for _, p := range wire.Seen() {
		if p.To.Port() == 123 && p.From.Port() != 123 {
			asked[p.To.Addr()] = true
		}
	}
	return asked
}

// judgeNames looks at what the client makes of the names.
func judgeNames(t *scene.Trial, d *scene.Daemon, names []string) {
	s := t.MustState(d)
	live := map[int]int{}
	for _, row := range s.Own.Sources {
		if row.ID != 0 && row.Address != "" {
			live[row.Source]++
		}
		if row.Source >= len(names) && row.Reason != "loop" {
			t.Fatal("the client's own server at %s, of stratum %d, is %s (%s) to it", row.Address, s.System.Stratum, row.Condition, row.Text)
		}
	}
	if live[1] != 2 || live[2] != 0 || live[len(names)] != 1 || live[len(names)+1] != 1 || !s.Own.Synchronised {
		t.Fatal("%d sources from 500 addresses, %d of a pool from the client's own, %d and %d by name; synchronised: %v",
			live[1], live[2], live[len(names)], live[len(names)+1], s.Own.Synchronised)
	}
}
