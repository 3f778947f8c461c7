package serve

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// Who asked is known, whichever worker of whichever section it asked, and what
// became of it.
func TestClientsAreCounted(t *testing.T) {
	nobody := listening("127.0.0.2:0")
	access, err := server.NewAccessList(server.Rule{}, server.Rule{Action: server.Deny})
	if err != nil {
		t.Fatal(err)
	}
	nobody.Policy.Access = access
	many := listening("127.0.0.1:0")
	many.Workers = 2
	cfg := config(t, realtime{}, many, nobody)
	if cfg.Census, err = server.NewCensus(server.ScopeAddress, rand.Reader); err != nil {
		t.Fatal(err)
	}
	s := start(t, cfg)
	for range 8 { // from ports of their own, so that both workers get some
		ask(t, dial(t, s.Addrs()[0]), request(4, 1))
	}
	ask(t, dial(t, s.Addrs()[1]), request(4, 1))
	// They are counted after they are answered.
	want := server.Client{Prefix: netip.MustParsePrefix("127.0.0.1/32"), Requests: 9, Denied: 1}
	for limit := time.Now().Add(10 * time.Second); ; {
		all, now := s.Clients()
		if len(all) == 1 && all[0].Requests == 9 {
			got := all[0]
			if got.Since > got.Last || got.Last > now || now-got.Since > proto.Instant(time.Minute) {
				t.Errorf("asked from %v to %v, and now it is %v", got.Since, got.Last, now)
			}
			if got.Since, got.Last = 0, 0; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%+v", all)
		}
	}
	if n, ok := s.Distinct(); n != 1 || !ok {
		t.Errorf("%d clients, %v", n, ok)
	}
}

// Without a census nobody is remembered.
func TestNoCensus(t *testing.T) {
	s := start(t, config(t, realtime{}, listening("127.0.0.1:0")))
	ask(t, dial(t, s.Addrs()[0]), request(4, 1))
	if all, _ := s.Clients(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if _, ok := s.Distinct(); ok {
		t.Error("clients are counted")
	}
}
