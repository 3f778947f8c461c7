package netio

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testsocks"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// echo answers each datagram with itself, in capitals.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort([]byte(strings.ToUpper(string(b[:n]))), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// proxied is a client whose exchanges go through a proxy.
func proxied(t *testing.T, p *Proxies) (*Client, chan Result) {
	out := make(chan Result)
	c := NewClient(out)
	c.Proxies = p
	t.Cleanup(c.Close)
	return c, out
}

// An exchange by a proxy has a relay of its own, under the name of the server,
// and takes no fragment for an answer. When the proxy ends the relay, it is said,
// and the next exchange has another.
func TestCase53Relay(t *testing.T) {
	at := echo(t)
	proxy := testsocks.Serve(t, &testsocks.Proxy{
		User: "me", Password: "hush", Fragments: true, Hosts: map[string]netip.Addr{"time.hidden": at.Addr()},
	})
	route := engine.Route{Proxy: "me@" + proxy.Addr}
	p := NewProxies()
	p.SetPasswords(map[string]string{route.Proxy: "hush"})
	addrs, err := Resolver{Proxies: p}.Lookup(t.Context(), "Time.Hidden.", route)
	if err != nil || len(addrs) != 1 || !discard.Contains(addrs[0]) {
		t.Fatalf("%v, %v", addrs, err)
	}
	c, out := proxied(t, p)
	for round := range 2 {
		x, err := c.Dial(engine.ExchangeID(round+1), netip.AddrPortFrom(addrs[0], at.Port()), route)
		if err != nil {
			t.Fatal(err)
		}
		payload := []byte("what time")
		if err := x.Send(payload); err != nil {
			t.Fatal(err)
		}
		clear(payload) // it is the caller's again
		if err := x.Send(payload); err == nil {
			t.Error("sent twice")
		}
		var kinds []Kind
		for len(kinds) < 2 {
			r := <-out
			if round > 0 && r.Exchange == engine.ExchangeID(round) {
				continue // of the exchange before, and behind its end: see Close
			}
			kinds = append(kinds, r.Kind)
			switch {
			case r.Exchange != engine.ExchangeID(round+1) || r.Stamp.At.IsZero():
				t.Errorf("%+v", r)
			case r.Kind == Received && (string(r.Payload) != "WHAT TIME" || r.From.Addr() != addrs[0]):
				t.Errorf("%q from %v", r.Payload, r.From)
			}
		}
		if round == 0 {
			proxy.HangUp()
			r := <-out
			if r.Kind != Unsent {
				t.Fatalf("one result too many: %+v", r)
			}
			if ev, err := r.Event(nil); err != nil || !strings.Contains(r.Err.Error(), "ended the relay") {
				t.Errorf("%+v, %v", ev, err)
			}
		}
		x.Close()
		x.Close()
		proxy.Wait() // no association outlives its exchange
	}
	want := fmt.Sprintf("[relay relay to time.hidden:%d relay to time.hidden:%[1]d]", at.Port())
	if got := fmt.Sprint(proxy.Asked()); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// What a proxy cannot do, or does not let us do, is said with a remedy, and
// nothing goes round it.
func TestCase53Refusals(t *testing.T) {
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	web, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	open := testsocks.Serve(t, &testsocks.Proxy{})
	locked := testsocks.Serve(t, &testsocks.Proxy{User: "me", Password: "hush"})
	tor := testsocks.Serve(t, &testsocks.Proxy{NoRelay: true})
	at := echo(t)
	for name, c := range map[string]struct {
		proxy, want string
	}{
		"wrong password":     {"me@" + locked.Addr, `it does not accept the password of "me"; correct proxy-password`},
		"no password":        {locked.Addr, "it wants a user and a password; write proxy-user and proxy-password"},
		"needless password":  {"me@" + open.Addr, "it takes no password; leave proxy-user out"},
		"no relay":           {tor.Addr, "NTP needs a proxy that relays UDP, as Tor and ssh -D do not"},
		"silent":             {silent.Addr().String(), context.DeadlineExceeded.Error()},
		"not a proxy":        {web.Addr().String(), "this is no SOCKS5 proxy; correct its address or port"},
		"nobody":             {"127.0.0.1:1", "could not connect to the proxy 127.0.0.1:1: connection refused"},
		"name without a way": {"me@nobody.invalid:1080", "could not connect to the proxy me@nobody.invalid:1080"},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewProxies()
			p.SetPasswords(map[string]string{"me@" + locked.Addr: "hushed", "me@" + open.Addr: "hush"})
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := Resolver{Proxies: p}.Lookup(ctx, "time.hidden", engine.Route{Proxy: c.proxy})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
			if name == "silent" || name == "name without a way" {
				return // an exchange would wait for longer
			}
			cl, out := proxied(t, p)
			x, err := cl.Dial(1, at, engine.Route{Proxy: c.proxy})
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			if err := x.Send([]byte("what time")); err != nil {
				t.Fatal(err)
			}
			if r := <-out; r.Kind != Unsent || !strings.Contains(r.Err.Error(), c.want) {
				t.Errorf("%+v", r)
			}
		})
	}
	p := NewProxies()
	if conn, err := p.Connect(t.Context(), open.Addr, "nobody.hidden", 4460); err == nil || !strings.Contains(err.Error(), "there is no such name") {
		t.Errorf("%v, %v", conn, err)
	}
	if _, err := p.Connect(t.Context(), open.Addr, strings.Repeat("a", 256), 4460); err == nil || !strings.Contains(err.Error(), "1 to 255 octets") {
		t.Errorf("%v", err)
	}
}

// RFC 1928 section 7: "An implementation that does not support fragmentation MUST
// drop any datagram whose FRAG field is other than X'00'."
func TestRFC1928Section7Fragments(t *testing.T) {
	for datagram, want := range map[string]string{
		"\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x7btext":              "text",
		"\x00\x00\x00\x03\x01a\x00\x7btext":                         "text",
		"\x00\x00\x00\x04" + strings.Repeat("a", 16) + "\x00\x7b":   "",
		"\x00\x00\x01\x01\x7f\x00\x00\x01\x00\x7btext":              "no",
		"\x00\x00\x80\x01\x7f\x00\x00\x01\x00\x7btext":              "no",
		"\x00\x01\x00\x01\x7f\x00\x00\x01\x00\x7btext":              "no",
		"\x00\x00\x00\x02\x7f\x00\x00\x01\x00\x7btext":              "no",
		"\x00\x00\x00\x03\xffa\x00\x7btext":                         "no",
		"\x00\x00\x00\x01\x7f\x00\x00\x01\x00":                      "no",
		"\x00\x00\x00":                                              "no",
		"":                                                          "no",
		"\x00\x00\x00\x04" + strings.Repeat("a", 15) + "\x00\x7b":   "no",
		"\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x7b" + "\x00\x00\x00": "\x00\x00\x00",
	} {
		got, ok := unrelayed([]byte(datagram))
		if ok != (want != "no") || ok && string(got) != want {
			t.Errorf("%x: %q, %v", datagram, got, ok)
		}
	}
}

func FuzzRelayed(f *testing.F) {
	b, _ := appendRelayed("time.hidden", 123, []byte("text"))
	f.Add(b)
	b, _ = appendRelayed("2001:db8::1", 123, nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if payload, ok := unrelayed(b); ok && !strings.HasSuffix(string(b), string(payload)) {
			t.Errorf("%x out of %x", payload, b)
		}
	})
}

// Names behind proxies are remembered, as many as there is room for.
func TestAliases(t *testing.T) {
	p := NewProxies()
	a := p.Alias("a.hidden")
	if p.Alias("A.hidden.") != a || p.host(a) != "a.hidden" || p.Alias("b.hidden") == a {
		t.Error("a name has two aliases, or an alias two names")
	}
	if got := p.Alias("::ffff:192.0.2.1"); got != netip.MustParseAddr("192.0.2.1") || p.host(got) != "192.0.2.1" {
		t.Errorf("%v", got)
	}
	for i := range mostNames {
		p.Alias(fmt.Sprint("c", i))
	}
	if p.host(a) == "a.hidden" || len(p.aliases) != mostNames {
		t.Errorf("%d names", len(p.aliases))
	}
	if p.host(p.Alias("a.hidden")) != "a.hidden" {
		t.Error("a name that was forgotten is not learnt again")
	}
	if got := p.host(netip.MustParseAddr("100::ffff")); got != "100::ffff" {
		t.Errorf("%s", got)
	}
}
