package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

var accessRows = []scene.Row{
	{ID: "T79", What: "random access lists, and clients of both families at and around the edges of what they name", Prove: accessLists},
}

// outcome is what becomes of a request.
type outcome string

const (
	answered outcome = "answered"
	denied   outcome = "denied"
	ignored  outcome = "ignored"
)

// subnet is one as it is written, with bits behind its length.
type subnet struct {
	addr netip.Addr
	bits int
}

func (n subnet) String() string { return fmt.Sprintf("%v/%d", n.addr, n.bits) }

// digits writes an address bit by bit.
func digits(a netip.Addr) string {
	var b strings.Builder
	for _, octet := range a.AsSlice() {
		fmt.Fprintf(&b, "%08b", octet)
	}
	return b.String()
}

// has compares bit by bit. IPv4 within IPv6 is IPv4.
func (n subnet) has(client netip.Addr) bool {
	own, bits := digits(n.addr), n.bits
	if len(own) == 128 && strings.HasPrefix(own, strings.Repeat("0", 80)+strings.Repeat("1", 16)) {
		own, bits = own[96:], bits-96
	}
	its := digits(client)
	return len(its) == len(own) && its[:bits] == own[:bits]
}

// accessList is one of the two lists of a server.
type accessList struct {
	filter []subnet
	action outcome
}

func (l accessList) has(client netip.Addr) bool {
	for _, n := range l.filter {
		if n.has(client) {
			return true
		}
	}
	return false
}

func (l accessList) String() string {
	var all []string
	for _, n := range l.filter {
		all = append(all, fmt.Sprintf("%q", n))
	}
	return fmt.Sprintf("{ filter = [%s], action = %q }", strings.Join(all, ", "), map[outcome]string{denied: "deny", ignored: "ignore"}[l.action])
}

// gate is a server with its lists, and whom it is to be asked by.
type gate struct {
	deny, allow accessList
	seed        uint64
	port        uint16
	only4       bool // its socket is for IPv4 alone; else both families come to one of IPv6
	clients     []netip.Addr
}

// naive is what is to become of a client.
func (g *gate) naive(client netip.Addr) outcome {
	switch {
	case g.deny.has(client):
		return g.deny.action
	case !g.allow.has(client):
		return g.allow.action
	}
	return answered
}

func (g *gate) String() string {
	return fmt.Sprintf("denylist = %v\nallowlist = %v\n", g.deny, g.allow)
}

// The networks whose every address is one of the row's host.
var (
	ours4 = netip.MustParsePrefix("10.79.0.0/16")
	ours6 = netip.MustParsePrefix("fd79::/32")
)

// Where the servers are asked.
const gate4, gate6 = "10.79.0.1", "fd79::1"

// draw is a source of lists and clients.
type draw struct{ *rand.Rand }

// client is any address of ours.
func (r draw) client() netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, 79, byte(r.IntN(4)), byte(r.Uint32())})
	}
	b := [16]byte{0xfd, 0x79}
	binary.BigEndian.PutUint64(b[8:], r.Uint64()>>r.IntN(64))
	return netip.AddrFrom16(b)
}

// subnet is one with some address of ours in it, written in one of the ways, or a whole family.
func (r draw) subnet() subnet {
	switch r.IntN(12) {
	case 0:
		return subnet{netip.IPv6Unspecified(), 0}
	case 1:
		return subnet{netip.IPv4Unspecified(), 0}
	case 2:
		return subnet{netip.MustParseAddr("::ffff:0.0.0.0"), 96}
	}
	a := r.client()
	if a.Is6() {
		return subnet{a, 129 - min(1+int(r.ExpFloat64()*24), 129)}
	}
	bits := 33 - min(1+int(r.ExpFloat64()*6), 33)
	if r.IntN(3) == 0 {
		return subnet{netip.AddrFrom16(a.As16()), 96 + bits}
	}
	return subnet{a, bits}
}

func (r draw) list() accessList {
	l := accessList{action: []outcome{denied, ignored}[r.IntN(2)]}
	for range r.IntN(6) {
		n := r.subnet()
		if len(l.filter) > 0 && r.IntN(3) == 0 {
			n = r.within(l.filter[0])
		}
		l.filter = append(l.filter, n)
	}
	r.Shuffle(len(l.filter), func(i, j int) { l.filter[i], l.filter[j] = l.filter[j], l.filter[i] })
	return l
}

// prefix is a subnet without what is behind its length, and IPv4 within IPv6 as IPv4.
func (n subnet) prefix() netip.Prefix {
	a := n.addr.Unmap()
	p, err := a.Prefix(n.bits - (n.addr.BitLen() - a.BitLen()))
	if err != nil {
		panic(err) // it was drawn from what is valid
	}
	return p
}

// within is the first part of another subnet.
func (r draw) within(n subnet) subnet {
	p := n.prefix()
	return subnet{p.Addr(), p.Bits() + r.IntN(p.Addr().BitLen()-p.Bits()+1)}
}

// edge is an address at or just beyond an end of a subnet, or any of ours if that is none.
func (r draw) edge(n subnet) netip.Addr {
	p := n.prefix()
	a := p.Addr()
	if r.IntN(2) == 0 {
		b := a.AsSlice()
		for i := p.Bits(); i < 8*len(b); i++ {
			b[i/8] |= 1 << (7 - i%8)
		}
		a, _ = netip.AddrFromSlice(b)
		if r.IntN(2) == 0 {
			a = a.Next()
		}
	} else if r.IntN(2) == 0 {
		a = a.Prev()
	}
	if !ours4.Contains(a) && !ours6.Contains(a) {
		return r.client()
	}
	return a
}

// gate draws a server and who asks it.
func (r draw) gate(port uint16, clients int) *gate {
	g := &gate{deny: r.list(), allow: r.list(), port: port, only4: r.IntN(4) == 0}
	if r.IntN(3) == 0 { // as most are
		g.allow.filter = []subnet{{netip.IPv6Unspecified(), 0}, {netip.IPv4Unspecified(), 0}}
	}
	named := append(append([]subnet{}, g.deny.filter...), g.allow.filter...)
	for len(g.clients) < clients {
		a := r.client()
		if len(named) > 0 && r.IntN(2) == 0 {
			a = r.edge(named[r.IntN(len(named))])
		}
		if !g.only4 || a.Is4() {
			g.clients = append(g.clients, a)
		}
	}
	return g
}

// accessLists compares the real server with a judge that knows nothing but bits.
func accessLists(t *scene.Trial) {
	const gates, clients = 60, 40
	seed := binary.BigEndian.Uint64(scene.Random(8))
	if again, err := strconv.ParseUint(os.Getenv("NTPD_SEED"), 10, 64); err == nil {
		seed = again
	}
	r := draw{rand.New(rand.NewPCG(seed, 79))}
	h := t.Host("host")
	t.Check(h.IP("route", "add", "local", ours4.String(), "dev", "lo"))
	t.Check(h.IP("-6", "route", "add", "local", ours6.String(), "dev", "lo"))
	t.Check(h.IP("addr", "add", gate6+"/128", "dev", "lo", "nodad")) // IPv6 answers only from an address that is really there
	var text strings.Builder
	text.WriteString("[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	everybody := &gate{port: 1999}
	text.WriteString("[[server]]\nlisten = \"[::]:1999\"\n")
	all := make([]*gate, gates)
	for i := range all {
		g := r.gate(uint16(2000+i), clients)
		g.seed = seed
		all[i], everybody.clients = g, append(everybody.clients, g.clients[:5]...)
		listen := "[::]"
		if g.only4 {
			listen = "0.0.0.0"
		}
		fmt.Fprintf(&text, "[[server]]\nlisten = \"%s:%d\"\n%v", listen, g.port, g)
	}
	everybody.allow.filter = []subnet{{netip.IPv6Unspecified(), 0}, {netip.IPv4Unspecified(), 0}}
	d := t.Daemon(h, "server", text.String())
	t.Serving(d, gate4+":1999")
	judged(t, h, d, 0, everybody)
	t.Control("%d clients of both families are answered by a server without lists", len(everybody.clients))
	became := map[outcome]int{}
	for i, g := range all {
		for o, n := range judged(t, h, d, i+1, g) {
			became[o] += n
		}
	}
	t.Alive(d.Process)
	for _, o := range []outcome{answered, denied, ignored} {
		if became[o] < gates*clients/20 {
			t.Fatal("seed %d: %d requests were %s: the row shows too little", seed, became[o], o)
		}
	}
	t.Saw("seed %d: %d servers with random lists, %d clients each: %d answered, %d denied, %d ignored, as bit by bit",
		seed, gates, clients, became[answered], became[denied], became[ignored])
	t.RunTests("proto/server", "TestAccessList", "TestRangesAgreeWithPrefixes", "TestAccess")
}

// judged asks a server once from each of its clients, and wants of each what the naive judge says. The server's own counters
// make silence certain: it has dealt with every request when they are read.
func judged(t *scene.Trial, h *lab.Host, d *scene.Daemon, section int, g *gate) map[outcome]int {
	before := t.MustState(d).Servers[section].Stats
	sockets := make([]*net.UDPConn, len(g.clients))
	questions := make([][]byte, len(g.clients))
	expected := map[outcome]int{}
	for i, client := range g.clients {
		sockets[i], questions[i] = dialAs(t, h, client, g.port), scene.Plain()
		defer sockets[i].Close()
		_, err := sockets[i].Write(questions[i])
		t.Check(err)
		expected[g.naive(client)]++
	}
	t.Eventually(10*time.Second, func() error {
		s, err := d.State()
		if err != nil {
			return err
		}
		stats := s.Servers[section].Stats
		for name, want := range map[string]int{
			"received_packets": len(g.clients), "accepted_packets": expected[answered], "denied_packets": expected[denied], "ignored_packets": expected[ignored],
		} {
			if got := stats[name] - before[name]; got != uint64(want) {
				return fmt.Errorf("%s are %d, want %d, of a server with\n%v", name, got, want, g)
			}
		}
		return nil
	})
	for i, client := range g.clients {
		want := g.naive(client)
		got, err := heard(sockets[i], questions[i], want != ignored)
		t.Check(err)
		if got != want {
			t.Fatal("%v was %s, want %s, by a server with\n%v", client, got, want, g)
		}
	}
	return expected
}

// heard is what a client's socket got for its question. Where nothing is to come it does not wait: what the server sent
// has arrived when it is counted, or soon enough for the most of them.
func heard(c *net.UDPConn, question []byte, wait bool) (outcome, error) {
	patience := time.Millisecond
	if wait {
		patience = 3 * time.Second
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	b := make([]byte, 512)
	n, err := c.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ignored, nil
	}
	if err != nil {
		return "", err
	}
	header, err := proto.ParseHeader(b[:n])
	if err != nil {
		return "", err
	}
	if string(b[24:32]) != string(question[40:48]) {
		return "", errors.New("an answer to nothing that was asked")
	}
	if code, kiss := header.Kiss(); kiss {
		if code != proto.KissDeny {
			return "", fmt.Errorf("a kiss %v", code)
		}
		return denied, nil
	}
	return answered, nil
}

// dialAs opens a socket of a client at an address of ours to a server.
func dialAs(t *scene.Trial, h *lab.Host, client netip.Addr, port uint16) *net.UDPConn {
	server := netip.MustParseAddr(gate4)
	if client.Is6() {
		server = netip.MustParseAddr(gate6)
	}
	dialer := net.Dialer{
		LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 0)),
		Control: func(_, _ string, c syscall.RawConn) error { // IPv6 binds to what a route has, too
			var failed error
			err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
			return errors.Join(err, failed)
		},
	}
	var conn net.Conn
	t.Check(h.Inside(func() error {
		var err error
		conn, err = dialer.DialContext(t.Context, "udp", netip.AddrPortFrom(server, port).String())
		return err
	}))
	return conn.(*net.UDPConn) //nolint:forcetypeassert // it is UDP
}
