package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/pool"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Who connects to the pool of the row, and whom a header may claim.
const (
	balancer = "127.0.0.100" // is listed
	stranger = "127.0.0.200"
	nobody   = "198.51.100.7:1234"
	another  = "203.0.113.9:1234"
	sixth    = "[2001:db8::7]:1234"
)

// proxy is a header of the PROXY protocol, version 2, with a length that may be wrong.
func proxy(command, kind byte, length int, body []byte) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(length)), body...)
}

// proxyAddresses is what a header says of a client.
func proxyAddresses(client string) []byte {
	c := scene.At(client)
	there := netip.MustParseAddr("127.0.0.4")
	if c.Addr().Is6() {
		there = netip.MustParseAddr("::1")
	}
	b := append(c.Addr().AsSlice(), there.AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, c.Port()), 4460)
}

// passedOn is the right header for a client.
func passedOn(client string, more ...byte) []byte {
	kind := byte(0x11)
	if scene.At(client).Addr().Is6() {
		kind = 0x21
	}
	body := append(proxyAddresses(client), more...)
	return proxy(0x21, kind, len(body), body)
}

// balanced is a pool behind a balancer.
type balanced struct {
	t *scene.Trial
	h *lab.Host
	p *lab.Process

	noted int // connections whose outcome was looked at
}

// entry is a line of the pool's access log: how a connection came out, and whose it was.
type entry struct {
	Outcome string `json:"outcome"`
	Client  string `json:"client"`
}

// cameTo is the line for an outcome.
func cameTo(o pool.Outcome, client string) entry { return entry{o.String(), client} }

// balance starts a time source and a pool that believes one balancer. The second source of the pool, third.test, has an
// IPv6 address only and is not there yet.
func balance(t *scene.Trial) *balanced {
	h := t.Host("host")
	names := maps.Clone(scene.Names)
	names["third.test"] = netip.IPv6Loopback()
	t.Check(h.SetNames(names))
	t.Serving(t.Daemon(h, "one", member("server", "127.0.0.1")), "127.0.0.1:123")
	text := strings.NewReplacer("second.test", "third.test",
		"key-exchange-servers", "balancers = [\""+balancer+"/32\"]\nkey-exchange-servers").Replace(poolText)
	p := t.Pool(h, text+"[observability]\naccess-log-path = \"/run/lab/access.log\"\naccess-log-addresses = true\n")
	awaitPool(t, h, p)
	b := &balanced{t: t, h: h, p: p}
	t.Eventually(10*time.Second, func() error { // the line of the first client is written a little later
		all := b.entries()
		if b.noted = len(all); !slices.Contains(all, cameTo(pool.Served, "127.0.0.1")) {
			return fmt.Errorf("the access log has no client: %v", all)
		}
		return nil
	})
	return b
}

// entries is the access log so far.
func (b *balanced) entries() []entry {
	text, err := os.ReadFile(filepath.Join(b.h.Dir, "access.log"))
	b.t.Check(err)
	var all []entry
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var e entry
		b.t.Check(json.Unmarshal(line, &e))
		all = append(all, e)
	}
	return all
}

// next waits for what the next n connections came to, and for no more than them.
func (b *balanced) next(name string, n int) []entry {
	var all []entry
	b.t.Eventually(10*time.Second, func() error {
		if all = b.entries()[b.noted:]; len(all) < n {
			return fmt.Errorf("%s: %d of %d connections are noted", name, len(all), n)
		}
		return nil
	})
	if len(all) != n {
		b.t.Fatal("%s: %d connections are noted, want %d: %v", name, len(all), n, all)
	}
	b.noted += n
	return all
}

// through is an honest client behind the balancer.
func (b *balanced) through(client string) (*scene.Session, error) {
	return b.t.KeyExchangeThrough(b.h, balancer, poolAddr, "pool.test", func(c net.Conn) error {
		_, err := c.Write(passedOn(client))
		return err
	})
}

// begun is a connection from an address that begins with some octets, each piece sent by itself.
func (b *balanced) begun(from string, pieces ...[]byte) net.Conn {
	c, err := b.t.ConnectFrom(b.h, from, poolAddr)
	b.t.Check(err)
	b.t.Check(c.SetDeadline(time.Now().Add(15 * time.Second)))
	for _, piece := range pieces {
		if _, err := c.Write(piece); err != nil {
			break // it is closed already
		}
	}
	return c
}

// ask asks for keys over a connection, whatever it began with, and returns the answer: nothing if there is no handshake.
func (b *balanced) ask(c net.Conn, request []byte) []byte {
	defer c.Close()
	over := poolClient(b.t, c)
	if _, err := over.Write(request); err != nil {
		return nil
	}
	answer, _ := io.ReadAll(io.LimitReader(over, 1<<20)) // a reset is no answer
	return answer
}

// together sends what a connection begins with in one segment with what is written first.
type together struct {
	net.Conn
	first []byte
}

func (c *together) Write(b []byte) (int, error) {
	first := c.first
	c.first = nil
	n, err := c.Conn.Write(append(first, b...))
	return max(0, n-len(first)), err
}

// passage is a connection, what it begins with, and what becomes of it.
type passage struct {
	name  string
	from  string
	first [][]byte
	want  entry
}

// try makes a connection and wants the outcome.
func (b *balanced) try(p passage, c net.Conn, request []byte) {
	answer := b.ask(c, request)
	if got := b.next(p.name, 1)[0]; got != p.want {
		b.t.Fatal("%s: %v, want %v", p.name, got, p.want)
	}
	if keys := len(answer) > 100 && errorCode(answer) == -1; keys != (p.want.Outcome == pool.Served.String()) {
		b.t.Fatal("%s: the client got %d octets", p.name, len(answer))
	}
}

func proxyHeaders(t *scene.Trial) {
	b := balance(t)
	s, err := b.through(nobody)
	t.Check(err)
	if a := useKeys(t, b.h, s); !a.Authentic {
		t.Fatal("keys that do not work, behind the balancer")
	}
	if got := b.next("behind the balancer", 1)[0]; got != cameTo(pool.Served, "198.51.100.7") {
		t.Fatal("behind the balancer: %v", got)
	}
	t.Control("a client that a listed balancer passes on gets keys that work, and is known by its own address")

	b.sixthFamily()
	cpu, err := lab.CPU(b.p.Pid())
	t.Check(err)
	memory, err := lab.Memory(b.p.Pid())
	t.Check(err)
	good, bad := b.goodHeaders(), b.badHeaders()
	cut := b.cutHeaders()
	b.limitedByTheHeader()
	spent, err := lab.CPU(b.p.Pid())
	t.Check(err)
	if spent -= cpu; spent > 2*time.Second {
		t.Fatal("%v of processor time", spent)
	}
	held, grown := b.crowd(memory)
	t.Eventually(10*time.Second, func() error { _, err := b.through(another); return err })
	t.Alive(b.p)
	t.Saw("%d headers passed clients on as they say; %d others got nothing, and neither did %d that were cut off or dribbled, with %v of processor time in all; "+
		"limits and families are those of the client in the header; of 3,000 headers without an end %d were waited for at once (%+d MiB), while who came directly got keys",
		good, bad, cut, spent.Round(time.Millisecond), held, grown>>20)
}

// goodHeaders are those that the pool has to understand.
func (b *balanced) goodHeaders() int {
	more := append([]byte{4, 0, 100}, make([]byte, 100)...)
	local := proxyAddresses(nobody)
	cases := []passage{
		{"directly", stranger, nil, cameTo(pool.Served, stranger)},
		{"passed on", balancer, [][]byte{passedOn(nobody)}, cameTo(pool.Served, "198.51.100.7")},
		{"with additions", balancer, [][]byte{passedOn(nobody, more...)}, cameTo(pool.Served, "198.51.100.7")},
		{"with 2,048 octets", balancer, [][]byte{passedOn(nobody, make([]byte, 2036)...)}, cameTo(pool.Served, "198.51.100.7")},
		{"IPv4 in IPv6", balancer, [][]byte{passedOn("[::ffff:203.0.113.9]:1234")}, cameTo(pool.Served, "203.0.113.9")},
		{"octet by octet", balancer, slices.Collect(slices.Chunk(passedOn(another), 1)), cameTo(pool.Served, "203.0.113.9")},
		{"the balancer itself", balancer, [][]byte{proxy(0x20, 0, 0, nil)}, cameTo(pool.Served, balancer)},
		{"the balancer itself, with an address", balancer, [][]byte{proxy(0x20, 0x11, len(local), local)}, cameTo(pool.Served, balancer)},
	}
	for _, c := range cases {
		b.try(c, b.begun(c.from, c.first...), message(protocols, aeads, end))
	}
	whole := passage{name: "in one segment with the handshake", want: cameTo(pool.Served, "198.51.100.7")}
	b.try(whole, &together{b.begun(balancer), passedOn(nobody)}, message(protocols, aeads, end))
	return len(cases) + 1
}

// badHeaders are those that give nobody keys. Who is not listed is not believed, whatever the header says.
func (b *balanced) badHeaders() int {
	addresses := proxyAddresses(nobody)
	long := append(slices.Clone(addresses), make([]byte, 2037)...)
	refused := func(name string, header []byte) passage {
		return passage{name, balancer, [][]byte{header}, cameTo(pool.BadProxyHeader, balancer)}
	}
	cases := []passage{
		{"a stranger's", stranger, [][]byte{passedOn(nobody)}, cameTo(pool.HandshakeFailed, stranger)},
		{"a stranger's, as the balancer itself", stranger, [][]byte{proxy(0x20, 0, 0, nil)}, cameTo(pool.HandshakeFailed, stranger)},
		{"a stranger's of version 1", stranger, [][]byte{[]byte("PROXY TCP4 198.51.100.7 127.0.0.4 1234 4460\r\n")}, cameTo(pool.HandshakeFailed, stranger)},
		{"twice", balancer, [][]byte{passedOn(nobody), passedOn(another)}, cameTo(pool.HandshakeFailed, "198.51.100.7")},
		{"longer than it says", balancer, [][]byte{proxy(0x21, 0x11, 12, append(addresses, 4, 0, 0))}, cameTo(pool.HandshakeFailed, "198.51.100.7")},
		{"shorter than it says", balancer, [][]byte{proxy(0x21, 0x11, 12+64, addresses)}, cameTo(pool.HandshakeFailed, "198.51.100.7")},
		{name: "none", from: balancer, want: cameTo(pool.BadProxyHeader, balancer)},
		refused("version 1", []byte("PROXY TCP4 198.51.100.7 127.0.0.4 1234 4460\r\n")),
		refused("version 1 without an end", append([]byte("PROXY TCP4 "), bytes.Repeat([]byte("1"), 1<<16)...)),
		refused("version 3", proxy(0x31, 0x11, len(addresses), addresses)),
		refused("an unknown command", proxy(0x22, 0x11, len(addresses), addresses)),
		refused("no family", proxy(0x21, 0, 0, nil)),
		refused("an unknown family", proxy(0x21, 0x41, len(addresses), addresses)),
		refused("UDP", proxy(0x21, 0x12, len(addresses), addresses)),
		refused("a Unix socket", proxy(0x21, 0x31, 216, make([]byte, 216))),
		refused("IPv6 with addresses of IPv4", proxy(0x21, 0x21, len(addresses), addresses)),
		refused("no room for a port", proxy(0x21, 0x11, 11, addresses[:11])),
		refused("no room for anything", proxy(0x21, 0x11, 0, nil)),
		refused("2,049 octets", proxy(0x21, 0x11, len(long), long)),
		refused("65,535 octets", proxy(0x21, 0x11, 0xffff, addresses)),
		refused("an octet before it", append([]byte{13}, passedOn(nobody)...)),
		refused("another signature", append([]byte("\r\n\r\n\x01\r\nQUIT\n"), passedOn(nobody)[12:]...)),
	}
	for _, c := range cases {
		b.try(c, b.begun(c.from, c.first...), message(protocols, aeads, end))
	}
	return len(cases)
}

// cutHeaders are headers that end, or go no further, behind each of their octets, and one that comes too slowly. The pool
// closes them by itself.
func (b *balanced) cutHeaders() int {
	header, cut := passedOn(nobody), cameTo(pool.BadProxyHeader, balancer)
	for n := 1; n < len(header); n++ {
		name := fmt.Sprintf("a header that ends behind %d octets", n)
		c := b.begun(balancer, header[:n])
		b.t.Check(c.(*net.TCPConn).CloseWrite())
		b.closed(c, name)
		if got := b.next(name, 1)[0]; got != cut {
			b.t.Fatal("%s: %v", name, got)
		}
	}
	var silent []net.Conn
	for n := range header {
		silent = append(silent, b.begun(balancer, header[:n]))
	}
	slow := b.begun(balancer)
	for _, octet := range header {
		if _, err := slow.Write([]byte{octet}); err != nil {
			break
		}
		b.t.Pause(100 * time.Millisecond)
	}
	for n, c := range append(silent, slow) {
		b.closed(c, fmt.Sprintf("a header of %d octets and silence", n))
	}
	for _, got := range b.next("headers that do not go on", len(silent)+1) {
		if got != cut {
			b.t.Fatal("a header that does not go on: %v", got)
		}
	}
	return len(header) - 1 + len(silent) + 1
}

// closed wants the pool to close a connection without a word.
func (b *balanced) closed(c net.Conn, name string) {
	defer c.Close()
	said, err := io.ReadAll(c)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() || len(said) > 0 {
		b.t.Fatal("%s: not closed, %d octets", name, len(said))
	}
}

// limitedByTheHeader shows whose the limits are: the client's whom the header names, and not the balancer's.
func (b *balanced) limitedByTheHeader() {
	denies := message(protocols, aeads, record(nts.TypeDeny, false, []byte("nowhere.test")...), end)
	passed := func(client string, outcome pool.Outcome) {
		p := passage{"a client that denies the same again and again", balancer, nil, cameTo(outcome, scene.At(client).Addr().String())}
		b.try(p, b.begun(balancer, passedOn(client)), denies)
	}
	for range 6 {
		passed(nobody, pool.Served)
	}
	passed(nobody, pool.Repeated)
	passed(another, pool.Served)
	passed(nobody, pool.Repeated)
}

// sixthFamily shows that a client of IPv6 gets a source of IPv6, though the balancer itself comes by IPv4: none while that
// source is out of reach, and its keys once it is there.
func (b *balanced) sixthFamily() {
	p := passage{"a client of IPv6 whose source is not there", balancer, nil, cameTo(pool.NoSource, "2001:db8::7")}
	b.try(p, b.begun(balancer, passedOn(sixth)), message(protocols, aeads, end))
	b.t.Serving(b.t.Daemon(b.h, "three", member("third", "[::1]")), "[::1]:123")
	asked := 0
	b.t.Eventually(20*time.Second, func() error {
		asked++
		s, err := b.through(sixth)
		if err == nil && s.Server != "third.test" {
			return lab.Final{Err: fmt.Errorf("a client of IPv6 is sent to %s", s.Server)}
		}
		return err
	})
	b.next("clients of IPv6", asked)
}

// crowd sends 3,000 headers without an end, more than the pool waits for at once. Who comes directly does not notice.
func (b *balanced) crowd(before int64) (held int, grown int64) {
	const crowd = 3000
	files, err := lab.Descriptors(b.p.Pid())
	b.t.Check(err)
	var conns []net.Conn
	endless := proxy(0x21, 0x11, 2048, make([]byte, 2000))
	b.t.Check(b.h.Inside(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(balancer)}, Timeout: 5 * time.Second}
		d.SetMultipathTCP(false)
		for range crowd {
			c, err := d.DialContext(b.t.Context, "tcp", poolAddr)
			if err != nil {
				return err
			}
			conns = append(conns, c)
			_, _ = c.Write(endless) // it may be turned away already
		}
		return nil
	}))
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if _, err := b.t.KeyExchangeFrom(b.h, stranger, poolAddr, "pool.test"); err != nil {
		b.t.Fatal("beside headers without an end: %v", err)
	}
	b.t.Eventually(20*time.Second, func() error {
		now, err := lab.UsageOf(b.p.Pid())
		if err != nil {
			return err
		}
		held, grown = max(held, now.Descriptors-files), max(grown, now.Memory-before)
		if n := len(b.entries()) - b.noted; n < crowd+1 {
			return fmt.Errorf("%d of %d connections have ended", n, crowd+1)
		}
		return nil
	})
	switch {
	case held < 512:
		b.t.Fatal("no crowd: only %d headers were waited for at once", held)
	case held > 1024+64:
		b.t.Fatal("%d headers are waited for at once", held)
	case grown > 48<<20:
		b.t.Fatal("the memory grew by %d octets", grown)
	}
	return held, grown
}
