package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

func proxyHeader(command, kind byte, body []byte, length int) []byte {
	h := append([]byte(proxySignature), command, kind)
	return append(binary.BigEndian.AppendUint16(h, uint16(length)), body...)
}

func proxyV4(client string) []byte {
	a := netip.MustParseAddrPort(client)
	body := append(a.Addr().AsSlice(), 192, 0, 2, 1)
	body = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(body, a.Port()), 4460)
	if a.Addr().Is6() {
		body = append(a.Addr().AsSlice(), make([]byte, 16)...)
		body = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(body, a.Port()), 4460)
		return proxyHeader(proxyProxy, proxyTCP6, body, len(body))
	}
	return proxyHeader(proxyProxy, proxyTCP4, body, len(body))
}

func TestCase45ProxyHeaders(t *testing.T) {
	long := append(proxyV4("198.51.100.7:1234")[proxyFixed:], bytes.Repeat([]byte{4, 0, 0}, 100)...)
	for name, c := range map[string]struct {
		octets []byte
		want   string // empty: refused
	}{
		"IPv4":           {proxyV4("198.51.100.7:1234"), "198.51.100.7:1234"},
		"IPv6":           {proxyV4("[2001:db8::7]:1234"), "[2001:db8::7]:1234"},
		"IPv4 in IPv6":   {proxyV4("[::ffff:198.51.100.7]:1234"), "198.51.100.7:1234"},
		"the balancer":   {proxyHeader(proxyLocal, 0, nil, 0), "invalid AddrPort"},
		"with additions": {proxyHeader(proxyProxy, proxyTCP4, long, len(long)), "198.51.100.7:1234"},
		"too long":       {proxyHeader(proxyProxy, proxyTCP4, make([]byte, mostProxyRest+1), mostProxyRest+1), ""},
		"cut off":        {proxyHeader(proxyProxy, proxyTCP4, long[:5], 0xffff), ""},
		"too short":      {proxyHeader(proxyProxy, proxyTCP4, long[:11], 11), ""},
		"UDP":            {proxyHeader(proxyProxy, 0x12, long, len(long)), ""},
		"version 1":      {[]byte("PROXY TCP4 198.51.100.7 192.0.2.1 1234 4460\r\n"), ""},
		"version 3":      {proxyHeader(0x31, proxyTCP4, long, len(long)), ""},
		"nothing":        {nil, ""},
	} {
		r := bytes.NewReader(append(c.octets, "rest"...))
		got, err := readProxyHeader(r)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: taken for %v", name, got)
			}
			continue
		}
		rest, _ := io.ReadAll(r)
		if err != nil || got.String() != c.want || string(rest) != "rest" {
			t.Errorf("%s: %v, %v, and %q is left", name, got, err, rest)
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add(proxyV4("198.51.100.7:1234"))
	f.Add(proxyV4("[2001:db8::7]:1234"))
	f.Add(proxyHeader(proxyLocal, 0, nil, 0))
	f.Fuzz(func(t *testing.T, octets []byte) {
		r := bytes.NewReader(octets)
		a, err := readProxyHeader(r)
		if err != nil && a.IsValid() {
			t.Errorf("%v and %v", a, err)
		}
		if read := len(octets) - r.Len(); read > proxyFixed+mostProxyRest {
			t.Errorf("%d octets were read", read)
		}
	})
}

// Clients behind a balancer are known by their own addresses, those that come
// directly by theirs, and whoever claims to be a balancer is not believed.
func TestCase45Balancers(t *testing.T) {
	type way struct {
		from    string // who connects
		listed  bool
		header  []byte
		answers bool
		client  string // that the pool sees
	}
	for name, c := range map[string]way{
		"passed on":            {"192.0.2.100:1", true, proxyV4("198.51.100.7:1234"), true, "198.51.100.7"},
		"the balancer's check": {"192.0.2.100:1", true, proxyHeader(proxyLocal, 0, nil, 0), true, "192.0.2.100"},
		"not listed":           {"192.0.2.200:1", true, proxyV4("198.51.100.7:1234"), false, ""},
		"directly":             {"192.0.2.200:1", true, nil, true, "192.0.2.200"},
		"no header":            {"192.0.2.100:1", true, nil, false, ""},
		"switched off":         {"192.0.2.100:1", false, proxyV4("198.51.100.7:1234"), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.add(func(s *source) { s.keep = true })
				var seen []Access
				w.change = func(cfg *Config) {
					cfg.Listener = from{cfg.Listener, c.from}
					cfg.Access = func(a Access) { seen = append(seen, a) }
					if c.listed {
						cfg.Balancers = []netip.Prefix{netip.MustParsePrefix("192.0.2.100/32")}
					}
				}
				w.start()
				raw := w.connect()
				raw.Write(c.header)
				raw.SetDeadline(time.Now().Add(10 * time.Second))
				conn := tls.Client(raw, w.clientTLS())
				conn.Write(fromHex(ordinary + eom))
				answer, _ := io.ReadAll(conn)
				conn.Close()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := len(answer) > 0; got != c.answers {
					t.Errorf("answered: %v", got)
				}
				if c.answers && (len(seen) != 1 || seen[0].From.String() != c.client || seen[0].Outcome != Served) {
					t.Errorf("seen: %+v", seen)
				}
				if !c.answers && (len(seen) != 1 || seen[0].Outcome == Served) {
					t.Errorf("seen: %+v", seen)
				}
			})
		})
	}
}

// A balancer that comes by IPv4 may stand for clients of IPv6: sources are
// tended for them, too, so that one that was out of reach is used again.
func TestClientsOfIPv6BehindABalancerOfIPv4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.keep, s.down, s.addr6 = true, true, "[2001:db8::11]:4460" })
		w.change = func(cfg *Config) {
			cfg.Listener = from{cfg.Listener, "192.0.2.100:1"}
			cfg.Balancers = []netip.Prefix{netip.MustParsePrefix("192.0.2.100/32")}
		}
		w.start()
		exchange := func() (ke.Result, error) {
			passed := func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := w.net.Dial(ctx, network, addr)
				if err == nil {
					_, err = c.Write(proxyV4("[2001:db8::7]:1234"))
				}
				return c, err
			}
			req := ke.ClientRequest{Host: "192.0.2.1", Roots: w.ca.Pool(), Algorithms: []aead.Algorithm{15}}
			return (&ke.Client{Dial: passed}).Exchange(t.Context(), req)
		}
		if got, err := exchange(); err == nil {
			t.Errorf("a source that is down: %+v", got)
		}
		w.listen(s)
		time.Sleep(retryMax * 5 / 4)
		if got, err := exchange(); err != nil || got.Server != s.name {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// from is a listener whose connections come from one address.
type from struct {
	net.Listener
	addr string
}

func (f from) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &passedOn{Conn: c, client: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr))}, nil
}

// A balancer, or who sits there, that connects and goes costs nothing: at the
// end of input the wait ends at once.
func TestCase45EndOfInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		inner, err := n.Listen(poolAddr)
		if err != nil {
			t.Fatal(err)
		}
		bad := make(chan netip.Addr, 10)
		p := newProxied(from{inner, "192.0.2.100:1"}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, func(a netip.Addr) { bad <- a })
		go func() {
			for {
				if _, err := p.Accept(); err != nil {
					return
				}
			}
		}()
		check, err := n.Dial(t.Context(), "tcp", poolAddr)
		if err != nil {
			t.Fatal(err)
		}
		check.Close() // says nothing against anybody
		for _, octets := range [][]byte{[]byte(proxySignature), proxyHeader(proxyProxy, proxyTCP4, nil, 12), proxyHeader(proxyProxy, proxyTCP4, nil, 0xffff)} {
			c, err := n.Dial(t.Context(), "tcp", poolAddr)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(octets)
			began := time.Now()
			c.Close()
			<-bad
			if took := time.Since(began); took > time.Millisecond {
				t.Errorf("after %q: %v", octets, took)
			}
		}
		synctest.Wait()
		if len(bad) != 0 {
			t.Error("a check whether the pool listens is held against the balancer")
		}
		// One that says nothing goes after a while.
		began := time.Now()
		if _, err := n.Dial(t.Context(), "tcp", poolAddr); err != nil {
			t.Fatal(err)
		}
		if <-bad; time.Since(began) != proxyTimeout {
			t.Errorf("after %v", time.Since(began))
		}
		p.Close()
		synctest.Wait()
		if _, err := p.Accept(); err == nil {
			t.Error("it accepts after its end")
		}
	})
}
