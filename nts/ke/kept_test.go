package ke

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// A kept connection is watched while it rests. It can be used again only if
// nothing came meanwhile.
func TestRest(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(*tls.Conn)
		want    bool
	}{
		{"nothing", func(*tls.Conn) {}, true},
		{"closed", func(c *tls.Conn) { c.Close() }, false},
		{"reset", func(c *tls.Conn) { c.NetConn().(interface{ Reset() }).Reset() }, false},
		{"speaks unasked", func(c *tls.Conn) { c.Write([]byte{0x80}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l, err := w.net.Listen(serverAddr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				config := harden(w.config.TLS())
				ready := make(chan *tls.Conn, 1)
				go func() {
					raw, err := l.Accept()
					if err != nil {
						return
					}
					server := tls.Server(raw, config)
					for range 2 {
						msg := make([]byte, 4)
						if _, err := server.Read(msg); err != nil {
							return
						}
						server.Write(fromHex(eom))
						select {
						case ready <- server:
						default:
						}
					}
				}()
				conn, err := w.client().Connect(t.Context(), Target{Host: "192.0.2.1", Port: 4460, Roots: w.ca.Pool()})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if conn.Heard() {
					t.Error("heard something before the first request")
				}
				if _, err := conn.RoundTrip(t.Context(), fromHex(eom)); err != nil || !conn.Heard() {
					t.Fatalf("%v, heard %v", err, conn.Heard())
				}
				server := <-ready
				time.AfterFunc(time.Minute, func() { c.happens(server) })
				began := time.Now()
				if got := conn.Rest(began.Add(time.Hour))(); got != c.want {
					t.Errorf("can be used: %v", got)
				}
				if took := time.Since(began); took != time.Hour && c.want || took != time.Minute && !c.want {
					t.Errorf("took %v", took)
				}
				if c.want {
					watch := conn.Rest(time.Now().Add(time.Hour))
					conn.Wake()
					if began = time.Now(); !watch() || time.Since(began) > 0 {
						t.Error("it did not wake up in order")
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = conn.RoundTrip(ctx, fromHex(eom))
				if c.want && (err != nil || !conn.Heard()) {
					t.Errorf("after the rest: %v", err)
				}
				if c.name == "reset" && (err == nil || conn.Heard()) {
					t.Errorf("after the reset: %v, heard %v", err, conn.Heard())
				}
			})
		})
	}
}

// Sessions are resumed only where the caller says so, and then no keys come
// out of the connection.
func TestResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, err := w.net.Listen(serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		config := harden(w.config.TLS())
		config.SessionTicketsDisabled = false
		go func() {
			for {
				raw, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					server := tls.Server(raw, config)
					defer server.Close()
					if _, err := server.Read(make([]byte, 4)); err == nil {
						server.Write(fromHex(eom))
					}
				}()
			}
		}()
		connect := func(sessions tls.ClientSessionCache) (resumed bool, export error) {
			conn, err := w.client().Connect(t.Context(), Target{Host: "192.0.2.1", Port: 4460, Roots: w.ca.Pool(), Sessions: sessions})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.RoundTrip(t.Context(), fromHex(eom)); err != nil {
				t.Fatal(err)
			}
			_, export = conn.Export(nts.ExporterLabel, nil, 32)
			return conn.Resumed(), export
		}
		sessions := tls.NewLRUClientSessionCache(1)
		for i, want := range []bool{false, true} {
			if resumed, err := connect(sessions); resumed != want || !errors.Is(err, ErrResumable) {
				t.Errorf("connection %d: resumed %v, %v", i, resumed, err)
			}
		}
		for range 2 {
			if resumed, err := connect(nil); resumed || err != nil {
				t.Errorf("without a cache: resumed %v, %v", resumed, err)
			}
		}
	})
}

func TestNetworkOfATarget(t *testing.T) {
	addrs := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:4460"), netip.MustParseAddrPort("[2001:db8::1]:4460"), netip.MustParseAddrPort("[::ffff:192.0.2.2]:4460"),
	}
	for network, want := range map[string]int{"": 3, "tcp": 3, "tcp4": 2, "tcp6": 1} {
		target := Target{Network: network}
		if got := target.usable(addrs); len(got) != want {
			t.Errorf("%q: %v", network, got)
		}
	}
	_, err := new(Client).Connect(t.Context(), Target{Host: "192.0.2.1", Network: "tcp6"})
	if wantClass(t, err, ClassDNS); !errors.Is(err, ErrFamily) {
		t.Error(err)
	}
}
