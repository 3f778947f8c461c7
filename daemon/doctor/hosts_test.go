package doctor

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

func TestParseHosts(t *testing.T) {
	const text = "127.0.0.1 localhost\n192.0.2.1\ttime.one.test TIME.two.test # a comment time.three.test\n2001:db8::1 time.one.test.\nnonsense time.one.test\n#192.0.2.9 time.one.test\n"
	for name, want := range map[string]string{
		"time.one.test": "[192.0.2.1 2001:db8::1]", "Time.Two.Test.": "[192.0.2.1]", "time.three.test": "[]", "one.test": "[]",
	} {
		if got := fmt.Sprint(parseHosts(text, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestAddressesIn(t *testing.T) {
	name := dnsmessage.MustNewName("time.one.test.")
	head := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}, Answers: []dnsmessage.Resource{
		{Header: head, Body: &dnsmessage.CNAMEResource{CNAME: name}},
		{Header: head, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
		{Header: head, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()}},
	}}
	pack := func() []byte {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if got := fmt.Sprint(addressesIn(pack(), 7)); got != "[192.0.2.1 2001:db8::1]" {
		t.Errorf("got %s", got)
	}
	if got := addressesIn(pack(), 8); got != nil {
		t.Errorf("the answer to another question: %v", got)
	}
	m.RCode = dnsmessage.RCodeServerFailure
	if got := addressesIn(pack(), 7); got != nil {
		t.Errorf("a failure: %v", got)
	}
	m.RCode, m.Response = dnsmessage.RCodeSuccess, false
	if got := addressesIn(pack(), 7); got != nil {
		t.Errorf("a question: %v", got)
	}
	if got := addressesIn([]byte{1, 2, 3}, 7); got != nil {
		t.Errorf("garbage: %v", got)
	}
}

// One address for all names is a portal's, unless a time server is there or
// the names belong together.
func TestOneAddressForAllNames(t *testing.T) {
	for _, c := range []struct {
		name    string
		hosts   []string
		answer  probe.Answer
		differs bool
		want    bool
	}{
		{"a portal", []string{"a.one.test", "b.two.test", "c.two.test"}, is(probe.Refused), false, true},
		{"a time server", []string{"a.one.test", "b.two.test"}, says(0), false, false},
		{"one domain", []string{"a.one.test", "b.one.test"}, is(probe.Refused), false, false},
		{"one name", []string{"a.one.test"}, is(probe.Refused), false, false},
		{"other addresses", []string{"a.one.test", "b.two.test"}, is(probe.Refused), true, false},
	} {
		var answers []probe.Answer
		for range c.hosts {
			answers = append(answers, c.answer)
		}
		e := examOf(t, "", c.hosts, answers)
		for i, s := range e.sources {
			s.found = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			if c.differs && i > 0 {
				s.found = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
			}
		}
		e.names()
		l, bad := e.report.First()
		if got := bad && strings.Contains(l.String(), "domains resolve to 192.0.2.1, which does not answer NTP"); got != c.want {
			t.Errorf("%s: %v", c.name, e.report.Lines)
		}
	}
}
