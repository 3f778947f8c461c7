package lab

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestZoneAnswers(t *testing.T) {
	z := zone{Names: map[string][]netip.Addr{
		"pool.test": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1")},
	}}
	for _, test := range []struct {
		name    string
		kind    dnsmessage.Type
		rcode   dnsmessage.RCode
		answers int
	}{
		{"pool.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 2},
		{"POOL.test.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 1},
		{"pool.test.", dnsmessage.TypeSRV, dnsmessage.RCodeSuccess, 0},
		{"other.test.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
	} {
		query := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 77, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(test.name), Type: test.kind, Class: dnsmessage.ClassINET}},
		}
		packed, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := z.answer(packed)
		if err != nil {
			t.Errorf("%s %v: %v", test.name, test.kind, err)
			continue
		}
		var got dnsmessage.Message
		if err := got.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		if got.ID != 77 || got.RCode != test.rcode || len(got.Answers) != test.answers {
			t.Errorf("%s %v: id %d, %v, %d answers", test.name, test.kind, got.ID, got.RCode, len(got.Answers))
		}
		if _, err := z.answer(reply); err == nil {
			t.Error("an answer is answered")
		}
	}
	if _, err := z.answer([]byte("short")); err == nil {
		t.Error("rubbish is answered")
	}
}
