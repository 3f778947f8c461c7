package serve

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// refuse counts n refused requests of an address.
func refuse(s *shedder, from string, n int) {
	for range n {
		s.count(netip.MustParseAddr(from), server.RateLimited)
	}
}

// TestShedding follows a flood from before its beginning to after its end, a
// window a line.
func TestShedding(t *testing.T) {
	now, dropped := proto.Instant(1e12), uint32(1<<32-500) // the kernel's count wraps
	s := shedder{began: now, dropped: dropped}
	for i, window := range []struct {
		name   string
		asks   map[string]int // refused requests
		drops  uint32
		change bool
		shed   []string
		on     bool
	}{
		{"quiet", map[string]int{"192.0.2.1": 9000}, 0, false, nil, false},
		{"the kernel drops: nothing is known of anybody", map[string]int{"192.0.2.1": 9000}, 20000, true, nil, true},
		{"who asks most is found", map[string]int{"192.0.2.1": 9000, "192.0.2.2": 49, "2001:db8::1": 30, "2001:db8::2": 30}, 20000, true, []string{"192.0.2.1", "2001:db8::"}, true},
		{"it goes on", map[string]int{"192.0.2.1": 2000, "2001:db8::7": 5, "192.0.2.2": 49}, 20000, false, []string{"192.0.2.1", "2001:db8::"}, true},
		{"one of them stops", map[string]int{"192.0.2.1": 2000, "2001:db8::7": 3}, 20000, true, []string{"192.0.2.1"}, true},
		{"what is left is little", map[string]int{"192.0.2.1": 10}, 99, true, nil, false},
		{"it is over", nil, 0, false, nil, false},
		{"sources are not counted without need", map[string]int{"192.0.2.1": 9000}, 1, true, nil, true},
	} {
		for a, n := range window.asks {
			refuse(&s, a, n)
		}
		dropped += window.drops
		if s.decide(now.Add(shedWindow-1), dropped) {
			t.Fatalf("%d %s: decided before the window was over", i, window.name)
		}
		now = now.Add(shedWindow)
		change := s.decide(now, dropped)
		var shed []string
		for _, a := range s.shed {
			shed = append(shed, a.String())
		}
		slices.Sort(shed)
		if change != window.change || s.on != window.on || !slices.Equal(shed, window.shed) {
			t.Errorf("%d %s: change %v, on %v, %v", i, window.name, change, s.on, shed)
		}
	}
}

// TestTheWorstAreFoundAmongMany: however many others are refused now and then,
// those that ask most are in the table.
func TestTheWorstAreFoundAmongMany(t *testing.T) {
	s := shedder{alert: true}
	for i := range 20000 {
		refuse(&s, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), 1)
		refuse(&s, "192.0.2.1", 1)
		if i%4 == 0 {
			refuse(&s, "192.0.2.2", 1)
		}
	}
	s.decide(proto.Instant(1e12), 1000)
	if len(s.shed) != 2 {
		t.Errorf("found %v", s.shed)
	}
	for i := range 100 {
		s.count(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), server.Accepted)
	}
	for _, c := range s.counts {
		if c.n != 0 {
			t.Errorf("%v was answered, and is counted", c.source)
		}
	}
}
