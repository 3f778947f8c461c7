package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/relay"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Faults of the network and of names.
var networkRows = []scene.Row{
	{ID: "X01", What: "0 to 90 % of datagrams lost in each direction, evenly and in bursts", Prove: losses, Limit: 4 * time.Minute},
	{ID: "X02", What: "replies duplicated, held back for four seconds, and damaged", Prove: mangled},
	{ID: "X08", What: "interfaces that go down and up, addresses that change at either end", Prove: interfaces},
	{ID: "X09", What: "a name server that is dead at the start, then fails, then answers", Prove: deadNames},
}

// behind is an NTS client of a real server, by way of a relay.
func behind(t *scene.Trial) (*scene.Daemon, *scene.Daemon, *relay.Relay) {
	h := t.Host("host")
	text := strings.Replace(scene.Server, "[synchronization]", "ntp-server = \"127.0.0.2\"\n[synchronization]", 1)
	server := t.Daemon(h, "server", text)
	t.Serving(server, "127.0.0.1:123")
	r, err := relay.Start(relay.Config{Listen: "127.0.0.2:123", Target: scene.At("127.0.0.1:123"), Seed: 1, Inside: h.Inside})
	t.Check(err)
	t.Cleanup(func() { r.Close() })
	d := t.Daemon(h, "client", scene.Client+scene.NTS("server.test"))
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Synchronised(d, 20*time.Second)
	t.Control("the client follows the server by way of the relay")
	return server, d, r
}

// well waits until the last polls were all answered and the client follows its server again.
func well(t *scene.Trial, d *scene.Daemon, within time.Duration) time.Duration {
	begin := time.Now()
	t.Eventually(within, func() error {
		s, state, err := d.Source(0)
		if err == nil && (!state.Own.Synchronised || s.Reach&7 != 7) {
			err = fmt.Errorf("not well yet: reach %b, %s %s", s.Reach, s.Condition, s.Text)
		}
		return err
	})
	return time.Since(begin)
}

func losses(t *scene.Trial) {
	server, d, r := behind(t)
	for _, loss := range []float64{0, 0.1, 0.3, 0.6, 0.9} {
		t.Check(r.Set(relay.Fault{Loss: loss}, relay.Fault{Loss: loss}))
		t.Hold(12*time.Second, func() error { return d.Unmoved(0.05) })
	}
	for range 4 { // bursts
		t.Check(r.Set(relay.Fault{Loss: 1}, relay.Fault{}))
		t.Hold(3*time.Second, func() error { return d.Unmoved(0.05) })
		t.Check(r.Set(relay.Fault{}, relay.Fault{}))
		t.Hold(2*time.Second, func() error { return d.Unmoved(0.05) })
	}
	took := well(t, d, 90*time.Second)
	if n := t.MustState(server).Servers[0].Stats["nts_nak_packets"]; n != 0 {
		t.Fatal("%d NAKs", n)
	}
	up, down := r.Counts()
	t.Saw("%d of %d requests and %d of %d replies lost, no wrong step, well again after %.0f s", up.Lost, up.Received, down.Lost, down.Received, took.Seconds())
}

func mangled(t *scene.Trial) {
	server, d, r := behind(t)
	before, _, err := d.Source(0)
	t.Check(err)
	asked := t.MustState(server).Servers[0].Stats["received_packets"]
	t.Check(r.Set(relay.Fault{}, relay.Fault{Duplicate: 0.5, Reorder: 0.3, HoldBack: 4 * time.Second, Corrupt: 0.1, Jitter: time.Millisecond}))
	t.Hold(30*time.Second, func() error { return d.Unmoved(0.05) })
	after, _, err := d.Source(0)
	t.Check(err)
	asked = t.MustState(server).Servers[0].Stats["received_packets"] - asked
	if taken := after.Taken() - before.Taken(); after.ID == before.ID && taken > asked+1 {
		t.Fatal("%d measurements from %d requests", taken, asked)
	}
	t.Check(r.Set(relay.Fault{}, relay.Fault{}))
	took := well(t, d, 60*time.Second)
	_, down := r.Counts()
	t.Saw("%d duplicates, %d held back, %d damaged; no bad measurement, well again after %.0f s", down.Duplicated, down.HeldBack, down.Corrupted, took.Seconds())
}

func interfaces(t *scene.Trial) {
	here, there := t.Host("server"), t.Host("client")
	prefix := netip.MustParsePrefix
	t.Check(lab.Wire(here, there, []netip.Prefix{prefix("10.9.0.1/24"), prefix("fd00:9::1/64")}, []netip.Prefix{prefix("10.9.0.2/24"), prefix("fd00:9::2/64")}))
	server := t.Daemon(here, "server", "[[server]]\nlisten = \"[::]:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(server, "10.9.0.1:123")
	d := t.Daemon(there, "client", scene.Client+"[[source]]\nmode = \"server\"\naddress = \"10.9.0.1\"\n[[source]]\nmode = \"server\"\naddress = \"fd00:9::1\"\n")
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Samples(d, 1, 0, 3, 30*time.Second)
	t.Control("the client measures over IPv4 and IPv6")
	files, err := lab.Descriptors(d.Pid())
	t.Check(err)
	resumed := func() {
		now, _, err := d.Source(0)
		t.Check(err)
		t.Samples(d, 0, now.Taken(), 2, 30*time.Second)
	}
	for range 3 {
		t.Check(there.IP("link", "set", "wire0", "down"))
		t.Pause(3 * time.Second)
		t.Check(there.IP("link", "set", "wire0", "up"))
		resumed()
	}
	t.Check(there.IP("addr", "del", "10.9.0.2/24", "dev", "wire0"))
	t.Pause(3 * time.Second)
	t.Check(there.IP("addr", "add", "10.9.0.3/24", "dev", "wire0"))
	resumed()
	t.Check(here.IP("link", "set", "wire0", "down"))
	t.Pause(3 * time.Second)
	t.Check(here.IP("link", "set", "wire0", "up"))
	resumed()
	// IPv4 alone, as when the other family's router has gone.
	t.Check(there.IP("-6", "route", "flush", "dev", "wire0"))
	resumed()
	now, err := lab.Descriptors(d.Pid())
	t.Check(err)
	if now > files+3 {
		t.Fatal("%d descriptors, %d before", now, files)
	}
	t.Alive(server.Process)
	t.Saw("down at either end, another address, no IPv6: measured again each time, descriptors %+d", now-files)
}

func deadNames(t *scene.Trial) {
	h := t.Host("host")
	t.Check(h.SetNames(nil))
	t.Check(h.SetResolver(netip.MustParseAddr("127.0.0.53")))
	t.Upstream(h, "127.0.0.1:123")
	good := map[string]scene.DNS{"time.test": {Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, "known.test": {Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}
	source := "[[source]]\nmode = \"server\"\naddress = \"time.test\"\n"
	d := t.Daemon(h, "client", scene.Client+source) // nobody answers on port 53
	t.Pause(5 * time.Second)
	t.MustState(d)
	zone := map[string]scene.DNS{"time.test": {Code: dnsmessage.RCodeServerFailure}, "known.test": good["known.test"]}
	dns := t.ServeDNS(h, "127.0.0.53:53", zone)
	control := t.Daemon(h, "control", scene.Client+strings.Replace(source, "time", "known", 1))
	t.Samples(control, 0, 0, 2, 30*time.Second)
	t.Control("a name that resolves is followed by another client")
	t.Pause(5 * time.Second)
	t.MustState(d)
	dns.Set(good)
	begin := time.Now()
	t.Samples(d, 0, 0, 2, 80*time.Second)
	spent, err := lab.CPU(d.Pid())
	t.Check(err)
	if spent > 2*time.Second {
		t.Fatal("%v of processor time", spent)
	}
	t.Saw("no name server, then failures: measured %.0f s after the first answer; %d queries, %v of processor time", time.Since(begin).Seconds(), dns.Queries(), spent)
}
