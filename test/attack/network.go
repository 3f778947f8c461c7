package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/relay"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks by, and troubles of, the network.
var networkRows = []scene.Row{
	{ID: "T42", What: "30 %, 60 % and 90 % of datagrams lost in each direction", Prove: losses},
	{ID: "T43", What: "replies that are duplicated, reordered by up to four seconds, corrupted and replayed", Prove: mangled},
	{ID: "T46", What: "forged ICMP errors to a client that waits", Prove: icmpToClient},
	{ID: "T47", What: "forged ICMP that asks a server to fragment", Prove: icmpToServer},
	{ID: "T77", What: "a network that goes, comes and renumbers", Prove: changingNetwork},
	{ID: "T78", What: "300,000 ICMP errors at a server's socket, 30,000 among the stamps of a client", Prove: icmpFlood},
}

// behind starts a server, a relay in front of it, and an NTS client that is told to use the relay.
func behind(t *scene.Trial) (*lab.Host, *scene.Upstream, *relay.Relay, *scene.Daemon) {
	h := t.Host("host")
	u := t.Upstream(h, "127.0.0.1:123")
	r, err := relay.Start(relay.Config{Listen: "127.0.0.2:123", Target: scene.At("127.0.0.1:123"), Seed: 42, Inside: h.Inside})
	t.Check(err)
	t.Cleanup(func() { r.Close() })
	t.Keys(h, u, exchangeAddr, "server", scene.At("127.0.0.2:123"))
	d := t.Daemon(h, "client", scene.Client+scene.NTS("server.test"))
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Synchronised(d, 20*time.Second)
	t.Control("the client follows the server behind the relay, with NTS")
	return h, u, r, d
}

func losses(t *scene.Trial) {
	_, u, r, d := behind(t)
	for _, loss := range []float64{0.3, 0.6, 0.9} {
		t.Check(r.Set(relay.Fault{Loss: loss}, relay.Fault{Loss: loss}))
		began := len(u.Requests())
		t.Hold(15*time.Second, func() error {
			s, err := d.State()
			if err == nil && s.System.AccumulatedSteps > 0.1 {
				err = fmt.Errorf("the clock was stepped by %v s", s.System.AccumulatedSteps)
			}
			return err
		})
		near(t, d)
		if loss < 0.7 && len(u.Requests()) == began {
			t.Fatal("no request arrived at a loss of %v", loss)
		}
	}
	exchanges := u.Exchanges()
	if exchanges > 6 {
		t.Fatal("%d key exchanges", exchanges)
	}
	t.Check(r.Set(relay.Fault{}, relay.Fault{}))
	t.Eventually(60*time.Second, func() error {
		s, state, err := d.Source(0)
		if err == nil && (!state.Own.Synchronised || s.Reach&3 != 3) {
			err = fmt.Errorf("not yet: %s, reach %b", s.Text, s.Reach)
		}
		return err
	})
	up, down := r.Counts()
	if up.Lost < 5 || down.Lost < 5 {
		t.Fatal("only %d requests and %d replies were lost: the row shows nothing", up.Lost, down.Lost)
	}
	t.Saw("%d requests and %d replies lost, no wrong step, %d key exchanges, and all is well afterwards", up.Lost, down.Lost, exchanges)
}

func mangled(t *scene.Trial) {
	_, u, r, d := behind(t)
	before, _, err := d.Source(0)
	t.Check(err)
	asked := len(u.Requests())
	fault := relay.Fault{Duplicate: 0.5, Reorder: 0.3, HoldBack: 4 * time.Second, Corrupt: 0.2, Jitter: time.Millisecond}
	t.Check(r.Set(relay.Fault{Duplicate: 0.3}, fault))
	t.Hold(30*time.Second, func() error {
		s, err := d.State()
		if err == nil && s.System.AccumulatedSteps > 0.1 {
			err = fmt.Errorf("the clock was stepped by %v s", s.System.AccumulatedSteps)
		}
		return err
	})
	after, _, err := d.Source(0)
	t.Check(err)
	near(t, d)
	if taken := after.Taken() - before.Taken(); after.ID == before.ID && taken > uint64(len(u.Requests())-asked) {
		t.Fatal("%d measurements from %d requests", taken, len(u.Requests())-asked)
	}
	t.Check(r.Set(relay.Fault{}, relay.Fault{}))
	now, _, err := d.Source(0)
	t.Check(err)
	t.Samples(d, 0, now.Taken(), 2, 60*time.Second)
	_, down := r.Counts()
	if down.Duplicated == 0 || down.HeldBack == 0 || down.Corrupted == 0 {
		t.Fatal("%d duplicates, %d late and %d damaged replies: the row shows too little", down.Duplicated, down.HeldBack, down.Corrupted)
	}
	t.Saw("%d duplicates, %d late and %d damaged replies: one measurement a request at most", down.Duplicated, down.HeldBack, down.Corrupted)
	replayed(t, d, u)
}

// replayed sends the true replies of before, each several times, ahead of every true one.
func replayed(t *scene.Trial, d *scene.Daemon, u *scene.Upstream) {
	before, _, err := d.Source(0)
	t.Check(err)
	var old [][]byte
	var sent atomic.Uint64
	u.Script(func(a *scene.Asked) [][]byte {
		for _, b := range old {
			u.Send(b, a.From)
			sent.Add(1)
		}
		time.Sleep(20 * time.Millisecond) // they arrive before the reply
		old = append(old[max(0, len(old)-4):], a.Reply)
		return [][]byte{a.Reply}
	})
	after := t.Samples(d, 0, before.Taken(), 6, 60*time.Second)
	u.Script(nil)
	if dropped := after.Refused() - before.Refused(); dropped < 10 || after.Taken()-before.Taken() > 8 {
		t.Fatal("%d of %d replayed replies dropped, %d measurements", dropped, sent.Load(), after.Taken()-before.Taken())
	}
	near(t, d)
	t.Saw("%d replies of before, replayed: %d dropped in front of the true ones", sent.Load(), after.Refused()-before.Refused())
}

func icmpToClient(t *scene.Trial) {
	h, u, d := follow(t, false)
	raw := t.Raw(h)
	ordinary := t.Dial(h, "127.0.0.1:123")
	raw.ICMP(t, 3, 3, 0, netip.MustParseAddr("127.0.0.1"), scene.At(ordinary.LocalAddr().String()), scene.At("127.0.0.1:123"))
	t.Check(ordinary.SetReadDeadline(time.Now().Add(2 * time.Second)))
	if _, err := ordinary.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal("an ordinary socket does not mind the forged error, but has %v: the row shows nothing", err)
	}
	t.Control("an ordinary socket takes a forged error for one of its server's")
	before, _, err := d.Source(0)
	t.Check(err)
	u.Script(func(a *scene.Asked) [][]byte {
		via := netip.MustParseAddr("127.0.0.1")
		for _, code := range []uint8{0, 1, 2, 3, 9, 10, 13} { // unreachable in every way, port and prohibition among them
			raw.ICMP(t, 3, code, 0, via, a.From, scene.At("127.0.0.1:123"))
		}
		raw.ICMP(t, 3, 4, 68, via, a.From, scene.At("127.0.0.1:123"))
		raw.ICMP(t, 11, 0, 0, via, a.From, scene.At("127.0.0.1:123")) // time exceeded
		raw.ICMP(t, 12, 0, 0, via, a.From, scene.At("127.0.0.1:123")) // parameter problem
		time.Sleep(20 * time.Millisecond)                             // they arrive before the reply
		return [][]byte{a.Reply}
	})
	after := t.Samples(d, 0, before.Taken(), 6, 40*time.Second)
	if after.ID != before.ID {
		t.Fatal("the source was given up")
	}
	t.Saw("ten ICMP errors before each reply: %d measurements all the same", after.Taken()-before.Taken())
}

func icmpToServer(t *scene.Trial) {
	here, there := t.Host("server"), t.Host("client")
	wireHosts(t, here, there, "10.9.0.1/24", "10.9.0.2/24")
	text := strings.ReplaceAll(scene.Server, "127.0.0.1", "10.9.0.1")
	d := t.Daemon(here, "server", text)
	t.Serving(d, "10.9.0.1:123")
	session := t.Session(there, "10.9.0.1:4460", "server.test")
	s, wire, raw := t.Dial(there, "10.9.0.1:123"), t.Sniff(there, "wire0"), t.Raw(there)
	large := func() scene.Parts {
		return scene.Parts{Clear: placeholderFields(4, len(session.Cookies[0]))}
	}
	if a := one(t, s, session, session.Request(large())); a.Cookies != 5 {
		t.Fatal("%d cookies", a.Cookies)
	}
	t.Control("a request for five cookies is answered in one datagram")
	local := s.LocalAddr().String()
	fragments := func() (n int) {
		for _, p := range wire.Seen() {
			if p.Fragment && p.From.Addr().String() == "10.9.0.1" {
				n++
			}
		}
		return n
	}
	ordinary := t.Socket(here, "10.9.0.1:5000")
	forged := 0
	for _, mtu := range []uint16{68, 296, 552, 576, 1280} {
		for range 5 {
			// About the ordinary socket, too: what the kernel believes of the way is for all sockets.
			raw.ICMP(t, 3, 4, mtu, netip.MustParseAddr("10.9.0.2"), scene.At("10.9.0.1:5000"), scene.At(local))
			raw.ICMP(t, 3, 4, mtu, netip.MustParseAddr("10.9.0.2"), scene.At("10.9.0.1:123"), scene.At(local))
			forged++
		}
		t.Pause(50 * time.Millisecond)
		if a := one(t, s, session, session.Request(large())); a.Cookies != 5 {
			t.Fatal("%d cookies", a.Cookies)
		}
	}
	if n := fragments(); n > 0 {
		t.Fatal("%d fragments", n)
	}
	_, err := ordinary.WriteToUDPAddrPort(make([]byte, 1400), scene.At("10.9.0.2:5000"))
	t.Check(err)
	t.Eventually(3*time.Second, func() error { return atLeast(fragments(), 2) })
	t.Control("the kernel believes the messages: what an ordinary socket sends leaves in %d fragments", fragments())
	if a := one(t, s, session, session.Request(large())); a.Cookies != 5 {
		t.Fatal("%d cookies", a.Cookies)
	}
	for _, p := range wire.Seen() {
		if p.Fragment && p.From == scene.At("10.9.0.1:123") {
			t.Fatal("the server's reply was fragmented")
		}
	}
	t.Saw("after %d forged messages, replies with five cookies are still single datagrams", forged)
}

func icmpFlood(t *scene.Trial) {
	here, there := t.Host("server"), t.Host("client")
	wireHosts(t, here, there, "10.9.0.1/24", "10.9.0.2/24")
	d := t.Daemon(here, "server", "[[server]]\nlisten = \"0.0.0.0:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(d, "10.9.0.1:123")
	s, raw := t.Dial(there, "10.9.0.1:123"), t.Raw(there)
	_, err := s.Volley([][]byte{scene.Plain()})
	t.Check(err)
	t.Control("a request is answered")
	minded := t.Socket(here, "10.9.0.1:5000")
	t.Check(wantErrors(minded))
	raw.ICMP(t, 3, 3, 0, netip.MustParseAddr("10.9.0.2"), scene.At("10.9.0.1:5000"), scene.At("10.9.0.2:5000"))
	t.Check(minded.SetReadDeadline(time.Now().Add(2 * time.Second)))
	if _, err := minded.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal("a socket that wants errors has %v: the row shows nothing", err)
	}
	t.Control("a socket that wants to know of errors is told of one")
	files, err := lab.Descriptors(d.Pid())
	t.Check(err)
	before, err := lab.CPU(d.Pid())
	t.Check(err)
	begin := time.Now()
	for i := range 300000 {
		to := netip.AddrPortFrom(netip.MustParseAddr("10.9.0.2"), uint16(1024+i%60000))
		raw.ICMP(t, 3, uint8(i%4), 0, netip.MustParseAddr("10.9.0.2"), scene.At("10.9.0.1:123"), to)
	}
	replies, err := s.Volley([][]byte{scene.Plain(), scene.Plain(), scene.Plain()})
	t.Check(err)
	if len(replies) != 3 {
		t.Fatal("%d of 3 requests answered after the flood", len(replies))
	}
	t.Pause(2 * time.Second)
	idle, err := lab.CPU(d.Pid())
	t.Check(err)
	t.Pause(2 * time.Second)
	after, err := lab.CPU(d.Pid())
	t.Check(err)
	if after-idle > 100*time.Millisecond {
		t.Fatal("the server spins: %v of processor time in two seconds of silence", after-idle)
	}
	t.Alive(d.Process)
	descriptors, err := lab.Descriptors(d.Pid())
	t.Check(err)
	if descriptors > files+2 {
		t.Fatal("%d descriptors, %d before", descriptors, files)
	}
	t.Saw("300,000 errors in %.1f s cost %v of processor time; nothing spins afterwards", time.Since(begin).Seconds()-4, idle-before)
	errorsAmongStamps(t)
}

// errorsAmongStamps fills the queues from which a client reads when its requests left: an error queue is for both.
func errorsAmongStamps(t *scene.Trial) {
	const each, polls = 4000, 8
	h, u, d := follow(t, false)
	raw := t.Raw(h)
	files, err := lab.Descriptors(d.Pid())
	t.Check(err)
	before, _, err := d.Source(0)
	t.Check(err)
	spent, err := lab.CPU(d.Pid())
	t.Check(err)
	var forged atomic.Uint64
	u.Script(func(a *scene.Asked) [][]byte {
		for i := range each {
			raw.ICMP(t, 3, uint8(i%4), 68, netip.MustParseAddr("127.0.0.1"), a.From, scene.At("127.0.0.1:123"))
			forged.Add(1)
		}
		return [][]byte{a.Reply}
	})
	after := t.Samples(d, 0, before.Taken(), polls, 60*time.Second)
	u.Script(nil)
	cost, err := lab.CPU(d.Pid())
	t.Check(err)
	near(t, d)
	if asked := uint64(len(u.Requests())); after.ID != before.ID || after.Taken()+2 < asked {
		t.Fatal("%d measurements of %d requests: the reply is lost among errors", after.Taken(), asked)
	}
	t.Samples(d, 0, after.Taken(), 2, 30*time.Second)
	t.Pause(time.Second) // no exchange is under way when they are counted
	descriptors, err := lab.Descriptors(d.Pid())
	t.Check(err)
	if descriptors > files+2 {
		t.Fatal("%d descriptors of the client, %d before", descriptors, files)
	}
	t.Saw("%d errors to a client that waits for stamps and replies: every reply is measured, for %v of processor time", forged.Load(), cost-spent)
}

func changingNetwork(t *scene.Trial) {
	here, there := t.Host("server"), t.Host("client")
	wireHosts(t, here, there, "10.9.0.1/24", "10.9.0.2/24")
	server := t.Daemon(here, "server", "[[server]]\nlisten = \"10.9.0.1:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(server, "10.9.0.1:123")
	d := t.Daemon(there, "client", scene.Client+"[[source]]\nmode = \"server\"\naddress = \"10.9.0.1\"\n")
	t.Samples(d, 0, 0, 4, 30*time.Second)
	t.Control("the client measures over the cable")
	files, err := lab.Descriptors(d.Pid())
	t.Check(err)
	for range 3 {
		t.Check(there.IP("link", "set", "wire0", "down"))
		t.Pause(4 * time.Second)
		t.Check(there.IP("link", "set", "wire0", "up"))
		now, _, err := d.Source(0)
		t.Check(err)
		t.Samples(d, 0, now.Taken(), 2, 20*time.Second)
	}
	t.Check(there.IP("addr", "del", "10.9.0.2/24", "dev", "wire0"))
	t.Check(there.IP("addr", "add", "10.9.0.77/24", "dev", "wire0"))
	now, _, err := d.Source(0)
	t.Check(err)
	t.Samples(d, 0, now.Taken(), 2, 20*time.Second)
	// The server's own address goes and comes back.
	t.Check(here.IP("addr", "del", "10.9.0.1/24", "dev", "wire0"))
	t.Pause(3 * time.Second)
	t.Check(here.IP("addr", "add", "10.9.0.1/24", "dev", "wire0"))
	now, _, err = d.Source(0)
	t.Check(err)
	s := t.Samples(d, 0, now.Taken(), 2, 60*time.Second)
	after, err := lab.Descriptors(d.Pid())
	t.Check(err)
	if after > files+3 {
		t.Fatal("%d descriptors, %d before", after, files)
	}
	t.Alive(server.Process)
	t.Alive(d.Process)
	t.Saw("three times down, a new address, and a server without its address for a while: %d measurements, descriptors %+d", s.Taken(), after-files)
}

// placeholderFields are n placeholders for cookies of some length.
func placeholderFields(n, length int) []byte {
	var b []byte
	for range n {
		b = append(b, scene.Good(0x0304, make([]byte, length))...)
	}
	return b
}
