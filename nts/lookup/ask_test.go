package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/internal/testdns"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

func TestAsk(t *testing.T) {
	at := testdns.Serve(t, func(q dnsmessage.Message, network string) *dnsmessage.Message {
		if network != "udp" || q.Questions[0].Name.String() != owner || !q.AuthenticData {
			t.Errorf("over %s: %+v", network, q)
		}
		return testdns.Records(q, 60, srv.Record{Weight: 3, Port: 4461, Target: "a.example"})
	})
	a, err := Ask(t.Context(), at, domain)
	if err != nil || !a.Secure || a.TTL != time.Minute || !slices.Equal(a.Records, []srv.Record{{Weight: 3, Port: 4461, Target: "a.example."}}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// What does not fit a datagram comes over TCP.
func TestAskFallsBackToTCP(t *testing.T) {
	var many []srv.Record
	for i := range 100 {
		many = append(many, srv.Record{Port: 4460, Target: fmt.Sprintf("member-%d.members.pool.example", i)})
	}
	at := testdns.Serve(t, func(q dnsmessage.Message, network string) *dnsmessage.Message {
		if network == "udp" {
			m := testdns.Records(q, 60)
			m.Truncated = true
			return m
		}
		return testdns.Records(q, 60, many...)
	})
	if a, err := Ask(t.Context(), at, domain); err != nil || len(a.Records) != len(many) || !a.Secure {
		t.Errorf("%d records, %v", len(a.Records), err)
	}
}

// Over TCP an answer to another question, or half an answer, is an error: there
// is no better one behind it.
func TestAskOverTCPTakesNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*dnsmessage.Message)
		want string
	}{
		"another question": {func(m *dnsmessage.Message) { m.ID++ }, "another question"},
		"still cut off":    {func(m *dnsmessage.Message) { m.Truncated = true }, "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			at := testdns.Serve(t, func(q dnsmessage.Message, network string) *dnsmessage.Message {
				m := testdns.Records(q, 60, srv.Record{Port: 4460, Target: "a.example"})
				m.Truncated = network == "udp"
				if network == "tcp" {
					c.edit(m)
				}
				return m
			})
			if a, err := Ask(t.Context(), at, domain); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), at.String()) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// Datagrams that answer something else are passed over: the answer is behind
// them.
func TestAskPassesForgedDatagramsOver(t *testing.T) {
	var asked atomic.Int32
	var ids [3]atomic.Uint32
	var second atomic.Bool
	at := testdns.Serve(t, func(q dnsmessage.Message, _ string) *dnsmessage.Message {
		n := asked.Add(1)
		ids[min(n, 3)-1].Store(uint32(q.ID))
		m := testdns.Records(q, 60, srv.Record{Port: 4460, Target: "evil.example"})
		if n == 1 {
			m.ID++
			return m
		}
		second.Store(true)
		return testdns.Records(q, 60, srv.Record{Port: 4460, Target: "good.example"})
	})
	// The first try ends with its time; the second is answered.
	a, err := Ask(t.Context(), at, domain)
	if err != nil || !second.Load() || len(a.Records) != 1 || a.Records[0].Target != "good.example." {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := Ask(t.Context(), at, domain); err != nil {
		t.Error(err)
	}
	if id := ids[0].Load(); ids[1].Load() == id && ids[2].Load() == id {
		t.Error("all queries have one identifier")
	}
}

// A resolver that cannot answer is not the last.
func TestFindAsksTheNextResolver(t *testing.T) {
	var broken atomic.Int32
	bad := testdns.Serve(t, func(q dnsmessage.Message, _ string) *dnsmessage.Message {
		broken.Add(1)
		m := testdns.Records(q, 60)
		m.RCode = dnsmessage.RCodeServerFailure
		return m
	})
	well := testdns.Serve(t, func(q dnsmessage.Message, _ string) *dnsmessage.Message {
		return testdns.Records(q, 60, srv.Record{Port: 4460, Target: "a.example"})
	})
	if a, err := (Resolvers{[]netip.AddrPort{bad, well}}).Find(t.Context(), domain); err != nil || len(a.Records) != 1 || broken.Load() != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	broken.Store(0)
	_, err := (Resolvers{[]netip.AddrPort{bad}}).Find(t.Context(), domain)
	if err == nil || !strings.Contains(err.Error(), "SERVFAIL") || broken.Load() != rounds {
		t.Errorf("%v after %d queries", err, broken.Load())
	}
}

func TestFindEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	at := testdns.Serve(t, func(dnsmessage.Message, string) *dnsmessage.Message {
		cancel()
		return nil
	})
	if a, err := Ask(ctx, at, domain); err == nil {
		t.Errorf("%+v", a)
	}
}

func TestFindWithNobody(t *testing.T) {
	if _, err := (Resolvers{}).Find(t.Context(), domain); !errors.Is(err, ErrNobodyTrusted) || !strings.Contains(err.Error(), owner) {
		t.Error(err)
	}
	if _, err := Ask(t.Context(), netip.MustParseAddrPort("127.0.0.1:53"), strings.Repeat("a", 300)); err == nil {
		t.Error("a name that is none was asked for")
	}
}
