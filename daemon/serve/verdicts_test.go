package serve

import (
	"net/netip"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/server"
)

func TestVerdictsAddUpWorkers(t *testing.T) {
	s := New(Config{Sections: []Section{{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Workers: 2}, {Listen: netip.MustParseAddrPort("127.0.0.2:0")}}})
	s.sections[0].counters[0].Count(server.Accepted)
	s.sections[0].counters[1].Count(server.Accepted)
	s.sections[0].counters[1].Count(server.Malformed)
	got := s.Verdicts()
	if len(got) != 2 || len(got[0]) != len(server.Verdicts()) || got[0]["accepted"] != 2 || got[0]["malformed"] != 1 || got[1]["accepted"] != 0 {
		t.Errorf("got %v", got)
	}
}
