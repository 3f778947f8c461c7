package probe

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// nameServer is a name server on loopback that knows the SRV records of one
// name, and a resolver that asks it.
func nameServer(t *testing.T, name string, records []dnsmessage.SRVResource) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var p dnsmessage.Parser
			h, _ := p.Start(b[:n])
			q, err := p.Question()
			if err != nil {
				continue
			}
			reply := dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionAvailable: true}
			known := q.Type == dnsmessage.TypeSRV && strings.EqualFold(q.Name.String(), name)
			if !known {
				reply.RCode = dnsmessage.RCodeNameError
			}
			m := dnsmessage.NewBuilder(nil, reply)
			m.StartQuestions()
			m.Question(q)
			m.StartAnswers()
			for _, r := range records {
				if known {
					m.SRVResource(dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}, r)
				}
			}
			out, _ := m.Finish()
			conn.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestKeyExchangesAreFoundBySRVRecords(t *testing.T) {
	ca := testcert.NewCA(t)
	good := newServer(t, fault{}).exchange(ca.Leaf([]string{"localhost"}))
	r := nameServer(t, "_ntske._tcp.example.test.", []dnsmessage.SRVResource{
		{Priority: 2, Port: 9, Target: dnsmessage.MustNewName("second.test.")},
		{Priority: 1, Port: good.Port, Target: dnsmessage.MustNewName("localhost.")},
	})
	found, err := SRV(t.Context(), r, "example.test")
	if err != nil || len(found) != 2 || found[0] != (Target{"localhost.", good.Port}) || found[1] != (Target{"second.test.", 9}) {
		t.Fatalf("%v, %v", found, err)
	}
	if _, err := SRV(t.Context(), r, "other.test"); err == nil || !strings.Contains(err.Error(), "_ntske._tcp.other.test") {
		t.Errorf("no records: %v", err)
	}
	none := nameServer(t, "_ntske._tcp.example.test.", []dnsmessage.SRVResource{{Target: dnsmessage.MustNewName(".")}})
	if _, err := SRV(t.Context(), none, "example.test"); err == nil || !strings.Contains(err.Error(), "not offered") {
		t.Errorf("a service that is not offered: %v", err)
	}

	one := nameServer(t, "_ntske._tcp.example.test.", []dnsmessage.SRVResource{{Port: good.Port, Target: dnsmessage.MustNewName("localhost.")}})
	rows := Query(t.Context(), []Target{{Host: "example.test"}}, QueryOptions{
		NTS: true, SRV: true, Timeout: 5 * time.Second, Resolver: one,
		Client: ke.ClientRequest{Roots: ca.Pool(), Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), good.Port)}},
	})
	if len(rows) != 1 || rows[0].Severity != OK || !rows[0].Best.Authenticated {
		t.Errorf("%+v", rows)
	}
	rows = Query(t.Context(), []Target{{Host: "other.test"}}, QueryOptions{NTS: true, SRV: true, Resolver: one})
	if len(rows) != 1 || rows[0].Severity != Unknown {
		t.Errorf("%+v", rows)
	}
}
