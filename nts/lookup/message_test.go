package lookup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/internal/testdns"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

const (
	domain = "pool.example"
	theID  = 4711
)

func theQuestion(tb testing.TB) dnsmessage.Question {
	q, err := newQuestion(domain)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

// good is a secure answer with two records.
func good(tb testing.TB) *dnsmessage.Message {
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: theID}, Questions: []dnsmessage.Question{theQuestion(tb)}}
	return testdns.Records(q, 300, srv.Record{Priority: 1, Weight: 2, Port: 4461, Target: "a.example"}, srv.Record{Port: 4460, Target: "b.example"})
}

func resource(name string, typ dnsmessage.Type, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET, TTL: ttl}, Body: body,
	}
}

func alias(from, to string, ttl uint32) dnsmessage.Resource {
	return resource(from, dnsmessage.TypeCNAME, ttl, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)})
}

func service(owner, target string, ttl uint32) dnsmessage.Resource {
	return resource(owner, dnsmessage.TypeSRV, ttl, &dnsmessage.SRVResource{Port: 4460, Target: dnsmessage.MustNewName(target)})
}

func soa(ttl, least uint32) dnsmessage.Resource {
	return resource("example.", dnsmessage.TypeSOA, ttl, &dnsmessage.SOAResource{
		NS: dnsmessage.MustNewName("ns.example."), MBox: dnsmessage.MustNewName("root.example."), MinTTL: least,
	})
}

const owner = "_ntske._tcp.pool.example."

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*dnsmessage.Message)
		want   []string // targets
		ttl    int
		unsafe bool
		err    string
	}{
		"good":                 {func(*dnsmessage.Message) {}, []string{"a.example.", "b.example."}, 300, false, ""},
		"not secure":           {func(m *dnsmessage.Message) { m.AuthenticData = false }, []string{"a.example.", "b.example."}, 300, true, ""},
		"a query":              {func(m *dnsmessage.Message) { m.Response = false }, nil, 0, false, "another question"},
		"another id":           {func(m *dnsmessage.Message) { m.ID++ }, nil, 0, false, "another question"},
		"another operation":    {func(m *dnsmessage.Message) { m.OpCode = 5 }, nil, 0, false, "another question"},
		"no question":          {func(m *dnsmessage.Message) { m.Questions = nil }, nil, 0, false, "another question"},
		"two questions":        {func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }, nil, 0, false, "another question"},
		"question of a type":   {func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeA }, nil, 0, false, "another question"},
		"question of a class":  {func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }, nil, 0, false, "another question"},
		"question for another": {func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("_ntske._tcp.evil.example.") }, nil, 0, false, "another question"},
		"question in capitals": {func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName(strings.ToUpper(owner)) }, []string{"a.example.", "b.example."}, 300, false, ""},
		"cut off":              {func(m *dnsmessage.Message) { m.Truncated = true }, nil, 0, false, "cut off"},
		"server failure":       {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, nil, 0, false, "SERVFAIL"},
		"refused":              {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeRefused }, nil, 0, false, "REFUSED"},
		"not implemented":      {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNotImplemented }, nil, 0, false, "NotImplemented"},
		// A name that does not exist has no records, whatever stands there.
		"no such name": {func(m *dnsmessage.Message) {
			m.RCode = dnsmessage.RCodeNameError
			m.Authorities = []dnsmessage.Resource{soa(900, 60)}
		}, nil, 60, false, ""},
		"no records": {func(m *dnsmessage.Message) {
			m.Answers = nil
			m.Authorities = []dnsmessage.Resource{service("other.example.", "c.example.", 5), soa(90, 600)}
		}, nil, 90, false, ""},
		"no records, no reason":    {func(m *dnsmessage.Message) { m.Answers = nil }, nil, 0, false, ""},
		"the shortest time counts": {func(m *dnsmessage.Message) { m.Answers[1].Header.TTL = 7 }, []string{"a.example.", "b.example."}, 7, false, ""},
		"records of others":        {func(m *dnsmessage.Message) { m.Answers[0] = service("_ntske._tcp.evil.example.", "evil.example.", 5) }, []string{"b.example."}, 300, false, ""},
		"only records of others": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{service("pool.example.", "evil.example.", 5)}
		}, nil, 0, false, ""},
		"of another class": {func(m *dnsmessage.Message) { m.Answers[0].Header.Class = dnsmessage.ClassCHAOS }, []string{"b.example."}, 300, false, ""},
		"signatures among them": {func(m *dnsmessage.Message) {
			m.Answers = append(m.Answers, resource(owner, 46, 5, &dnsmessage.UnknownResource{Type: 46, Data: []byte("x")}))
		}, []string{"a.example.", "b.example."}, 300, false, ""},
		"an owner in capitals": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{service(strings.ToUpper(owner), "c.example.", 5)}
		}, []string{"c.example."}, 5, false, ""},
		"too many to be meant well": {func(m *dnsmessage.Message) { m.Answers = slices.Repeat(m.Answers, mostRead) }, nil, 0, false, "more than"},
		"an alias": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{alias(owner, "X.example.", 3), service("x.example.", "c.example.", 9)}
		}, []string{"c.example."}, 3, false, ""},
		"an alias behind its end": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{service("x.example.", "c.example.", 2), alias("y.example.", "x.example.", 3), alias(owner, "y.example.", 4)}
		}, []string{"c.example."}, 2, false, ""},
		"aliases in a circle": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{alias(owner, "x.example.", 3), alias("x.example.", owner, 3), service("y.example.", "c.example.", 2)}
		}, nil, 0, false, ""},
		"many aliases": {func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{alias(owner, "x0.example.", 3)}
			for i := range mostChain {
				m.Answers = append(m.Answers, alias(fmt.Sprintf("x%d.example.", i), fmt.Sprintf("x%d.example.", i+1), 3))
			}
			m.Answers = append(m.Answers, service(fmt.Sprintf("x%d.example.", mostChain), "c.example.", 2))
		}, nil, 0, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := good(t)
			c.edit(m)
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			got, err := parse(raw, theID, theQuestion(t))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || len(got.Records) != 0 || got.Secure {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			var targets []string
			for _, r := range got.Records {
				targets = append(targets, r.Target)
			}
			if err != nil || !slices.Equal(targets, c.want) || got.TTL != time.Duration(c.ttl)*time.Second || got.Secure == c.unsafe {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestParseTakesAllOfARecord(t *testing.T) {
	raw, err := good(t).Pack()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(raw, theID, theQuestion(t))
	if want := (srv.Record{Priority: 1, Weight: 2, Port: 4461, Target: "a.example."}); err != nil || got.Records[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is cut anywhere is no answer, and never one with fewer records.
func TestParseOfDamagedAnswers(t *testing.T) {
	raw, err := good(t).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		if got, err := parse(raw[:n], theID, theQuestion(t)); err == nil {
			t.Errorf("%d octets: %+v", n, got)
		}
	}
}

func TestQuery(t *testing.T) {
	raw, err := query(theID, theQuestion(t))
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	if m.ID != theID || m.Response || !m.RecursionDesired || !m.AuthenticData || m.CheckingDisabled || len(m.Questions) != 1 || m.Questions[0].Name.String() != owner ||
		m.Questions[0].Type != dnsmessage.TypeSRV || len(m.Additionals) != 1 || m.Additionals[0].Header.Type != dnsmessage.TypeOPT || m.Additionals[0].Header.Class != payload {
		t.Errorf("%+v", m)
	}
	for _, name := range []string{domain, domain + "."} {
		if q, err := newQuestion(name); err != nil || q.Name.String() != owner {
			t.Errorf("%v, %v", q, err)
		}
	}
	for _, name := range []string{strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130), "a..example"} {
		q, err := newQuestion(name)
		if err == nil {
			_, err = query(theID, q)
		}
		if err == nil {
			t.Errorf("%q is asked for", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	m := good(f)
	m.Answers = append(m.Answers, alias(owner, "x.example.", 3))
	m.Authorities = []dnsmessage.Resource{soa(1, 2)}
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	q := theQuestion(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := parse(raw, theID, q)
		switch {
		case err != nil && (len(a.Records) > 0 || a.Secure):
			t.Errorf("%+v with %v", a, err)
		case err == nil && !answers(raw, theID, q):
			t.Error("it answers another question")
		case errors.Is(err, errTruncated) && raw[2]&2 == 0:
			t.Error("it is not cut off")
		case a.Secure && raw[3]&0x20 == 0:
			t.Error("it is not secure")
		case len(a.Records) > mostRead || a.TTL < 0:
			t.Errorf("%+v", a)
		}
	})
}
