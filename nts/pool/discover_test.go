package pool

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/internal/testdns"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/lookup"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// secureAnswer is a signed answer with records.
func secureAnswer(q dnsmessage.Message, ttl uint32, records ...srv.Record) dnsmessage.Message {
	return *testdns.Records(q, ttl, records...)
}

func TestCase51DiscoveryIsSecureOrNothing(t *testing.T) {
	a, b := srv.Record{Weight: 3, Port: 4461, Target: "a.example"}, srv.Record{Priority: 1, Port: 4460, Target: "b.example"}
	many := make([]srv.Record, 0, 40)
	for i := range 40 {
		many = append(many, srv.Record{Port: 4460, Target: fmt.Sprintf("s%02d.members.example", i)})
	}
	for name, c := range map[string]struct {
		answer func(q dnsmessage.Message, network string) dnsmessage.Message
		want   []srv.Record
		ttl    time.Duration
		err    error
		text   string
	}{
		"secure": {func(q dnsmessage.Message, _ string) dnsmessage.Message { return secureAnswer(q, 300, b, a) }, []srv.Record{a, b}, 5 * time.Minute, nil, ""},
		"short time to live": {func(q dnsmessage.Message, _ string) dnsmessage.Message { return secureAnswer(q, 1, a) },
			[]srv.Record{a}, DiscoverAtLeast, nil, ""},
		"long time to live": {func(q dnsmessage.Message, _ string) dnsmessage.Message { return secureAnswer(q, 1<<20, a) },
			[]srv.Record{a}, DiscoverAtMost, nil, ""},
		"not signed": {func(q dnsmessage.Message, _ string) dnsmessage.Message {
			m := secureAnswer(q, 300, a)
			m.AuthenticData = false
			return m
		}, nil, 0, lookup.ErrInsecure, ""},
		"bogus": {func(q dnsmessage.Message, _ string) dnsmessage.Message {
			m := secureAnswer(q, 300)
			m.RCode = dnsmessage.RCodeServerFailure
			return m
		}, nil, 0, nil, "SERVFAIL"},
		"refused": {func(q dnsmessage.Message, _ string) dnsmessage.Message {
			m := secureAnswer(q, 300)
			m.RCode = dnsmessage.RCodeRefused
			return m
		}, nil, 0, nil, "refuses"},
		"no such name": {func(q dnsmessage.Message, _ string) dnsmessage.Message {
			m := secureAnswer(q, 300)
			m.RCode = dnsmessage.RCodeNameError
			return m
		}, nil, 0, ErrNobody, ""},
		"not available": {func(q dnsmessage.Message, _ string) dnsmessage.Message {
			return secureAnswer(q, 300, srv.Record{Port: 4460, Target: ""})
		}, nil, 0, ErrNobody, ""},
		"too long for a packet": {func(q dnsmessage.Message, network string) dnsmessage.Message {
			if network == "udp" {
				m := secureAnswer(q, 300)
				m.Truncated = true
				return m
			}
			return secureAnswer(q, 300, many...)
		}, many, 5 * time.Minute, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ttl, err := Discover(t.Context(), testdns.Serve(t, func(q dnsmessage.Message, network string) *dnsmessage.Message {
				m := c.answer(q, network)
				return &m
			}), "members.example")
			if (c.err != nil || c.text != "") != (err != nil) || c.err != nil && !errors.Is(err, c.err) || c.text != "" && !strings.Contains(err.Error(), c.text) {
				t.Fatalf("%v", err)
			}
			if !slices.Equal(got, c.want) || ttl != c.ttl {
				t.Errorf("%v for %v", got, ttl)
			}
		})
	}
	if _, _, err := Discover(t.Context(), netip.MustParseAddrPort("127.0.0.1:53"), strings.Repeat("a", 300)); err == nil {
		t.Error("a name that is none was asked for")
	}
}

func rec(priority, weight uint16, target string) srv.Record {
	return srv.Record{Priority: priority, Weight: weight, Port: 4460, Target: target}
}

func TestSourcesOfRecords(t *testing.T) {
	token := func(domain string, port uint16) nts.Secret { return MemberToken([]byte("secret"), domain, port) }
	for _, c := range []struct {
		records []srv.Record
		weights []uint32
	}{
		{[]srv.Record{rec(0, 0, "a"), rec(0, 0, "b"), rec(1, 0, "c")}, []uint32{1, 1, 0}},
		{[]srv.Record{rec(5, 3, "a"), rec(5, 0, "b"), rec(9, 7, "c")}, []uint32{3, 0, 0}},
	} {
		got := SourcesOf(c.records, token)
		for i, s := range got {
			if s.Weight != c.weights[i] || s.Domain != c.records[i].Target || s.Port != c.records[i].Port || len(s.Token) != 64 {
				t.Errorf("%+v of %+v", s, c.records[i])
			}
		}
	}
	a, b := MemberToken([]byte("secret"), "a.example", 4460), MemberToken([]byte("secret"), "A.example.", 4460)
	c, d, e := MemberToken([]byte("secret"), "b.example", 4460), MemberToken([]byte("other"), "a.example", 4460), MemberToken([]byte("secret"), "a.example", 4461)
	if string(a) != string(b) || string(a) == string(c) || string(a) == string(d) || string(a) == string(e) {
		t.Error("tokens are not one for each member")
	}
}

// A sample holds each source once, by its weight.
func TestSample(t *testing.T) {
	sources := []Source{{Domain: "a", Weight: 1}, {Domain: "b", Weight: 8}, {Domain: "c"}, {Domain: "d", Weight: 1}}
	random := rand.New(rand.NewPCG(7, 8))
	const draws = 20_000
	times := make(map[string]float64)
	for range draws {
		times[Sample(sources, 1, random.Uint64N)[0].Domain]++
	}
	if p := 0.8; math.Abs(times["b"]-p*draws) > 4*math.Sqrt(draws*p*(1-p)) || times["c"] != 0 {
		t.Errorf("%v", times)
	}
	all := Sample(sources, 9, random.Uint64N)
	seen := make(map[string]bool)
	for _, s := range all {
		seen[s.Domain] = true
	}
	if len(all) != 3 || len(seen) != 3 {
		t.Errorf("%v", all)
	}
}
