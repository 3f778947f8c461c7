package engine

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"
)

// used are the addresses of the live servers, sorted.
func (w *world) used() []string {
	var out []string
	w.engine.lives(func(_ *source, _ *slot, l *live) { out = append(out, l.addr.Addr().String()) })
	slices.Sort(out)
	return out
}

// A pool's servers are of different networks as far as there are some: whoever
// owns one network is asked once.
func TestAPoolPrefersDistinctNetworks(t *testing.T) {
	for name, tt := range map[string]struct {
		answer []string
		want   []string
	}{
		"one network has most": {
			[]string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1"},
			[]string{"192.0.2.1", "198.51.100.1", "203.0.113.1"},
		},
		"too few networks": {
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"},
			[]string{"192.0.2.1", "192.0.2.2", "198.51.100.1"},
		},
		"IPv6": {
			[]string{"2001:db8:1::1", "2001:db8:1:ffff::2", "2001:db8:2::1", "2001:db8:3::1"},
			[]string{"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"},
		},
		"this machine": {
			[]string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.1"},
			[]string{"127.0.0.1", "127.0.0.2", "127.0.0.3"},
		},
		"a private network": {
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"},
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, config(src(ModePool, "pool.test", 3)))
			for _, a := range tt.answer {
				w.host(a)
			}
			w.mute()
			w.name("pool.test", tt.answer...)
			w.run(time.Minute)
			if got := w.used(); !slices.Equal(got, tt.want) {
				t.Errorf("asks %v, want %v", got, tt.want)
			}
		})
	}
}

// The place of a dead server may be taken by its neighbour.
func TestAReplacementIsNoNeighbourOfItself(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.test", 2)))
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"} {
		w.host(a)
	}
	w.mute()
	w.name("pool.test", "192.0.2.1", "198.51.100.1", "198.51.100.2", "192.0.2.2")
	w.run(time.Minute)
	w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].down = true
	w.run(time.Hour)
	if got, want := w.used(), []string{"192.0.2.2", "198.51.100.1"}; !slices.Equal(got, want) {
		t.Errorf("asks %v, want %v", got, want)
	}
}

// However many addresses an answer has, max(4, count) are looked at.
func TestAnAnswerIsCutToWhatIsNeeded(t *testing.T) {
	for count, want := range map[int]int{1: 4, 4: 4, 6: 6} {
		w := newWorld(t, config(src(ModePool, "pool.test", count)))
		var answer []string
		for i := range 250 {
			for _, net := range []string{"192.0.2.", "198.51.100."} {
				answer = append(answer, net+strconv.Itoa(i+1))
			}
		}
		w.name("pool.test", answer...)
		w.run(100 * time.Millisecond)
		p, ok := w.engine.sources[0].spawner.(*poolSpawner)
		if !ok {
			t.Fatal("no pool")
		}
		if got := len(p.known) + len(w.used()); got != want {
			t.Errorf("count %d: %d addresses are known, want %d", count, got, want)
		}
	}
}
