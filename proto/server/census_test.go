package server

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
)

func census(t testing.TB, s Scope) *Census {
	t.Helper()
	c, err := NewCensus(s, seeded(5))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stranger is the nth of many addresses of the Internet.
func stranger(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x40000000+n*257)
	return netip.AddrFrom4(b)
}

// What is remembered of an address: by the scope, and whole where it is of a
// network of the operator's own.
func TestCensusScope(t *testing.T) {
	for _, c := range []struct{ from, network, address string }{
		{"203.0.113.77", "203.0.113.0/24", "203.0.113.77/32"},
		{"::ffff:203.0.113.77", "203.0.113.0/24", "203.0.113.77/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2::/64"},
		{"192.168.1.7", "192.168.1.7/32", "192.168.1.7/32"},
		{"::ffff:10.0.0.1", "10.0.0.1/32", "10.0.0.1/32"},
		{"127.0.0.1", "127.0.0.1/32", "127.0.0.1/32"},
		{"169.254.3.4", "169.254.3.4/32", "169.254.3.4/32"},
		{"fd00:1:2:3:4::5", "fd00:1:2:3::/64", "fd00:1:2:3::/64"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/64"},
		{"::1", "::1/128", "::1/128"},
		{"0.0.0.0", "0.0.0.0/24", "0.0.0.0/32"},
	} {
		for scope, want := range map[Scope]string{ScopeNetwork: c.network, ScopeAddress: c.address} {
			tally := census(t, scope).Tally()
			tally.Count(instant(time.Hour), netip.MustParseAddr(c.from), Accepted)
			all := Clients(instant(time.Hour), tally)
			if len(all) != 1 || all[0].Prefix.String() != want || all[0].Requests != 1 {
				t.Errorf("%s in scope %d: %+v, want %s", c.from, scope, all, want)
			}
		}
	}
}

// Every verdict is a request, and those that tell something are counted.
func TestCensusCountsVerdicts(t *testing.T) {
	tally := census(t, ScopeAddress).Tally()
	for i, v := range Verdicts() {
		tally.Count(instant(time.Hour+time.Duration(i)*time.Second), stranger(1), v)
	}
	all := Clients(instant(time.Hour), tally)
	last := instant(time.Hour + time.Duration(len(Verdicts())-1)*time.Second)
	want := Client{
		Prefix: netip.PrefixFrom(stranger(1), 32), Since: instant(time.Hour), Last: last,
		Requests: uint64(len(Verdicts())), NTS: 3, Limited: 2, Denied: 4,
	}
	if len(all) != 1 || all[0] != want {
		t.Errorf("%+v, want %+v", all, want)
	}
}

// Whoever asks often stays, however many others come by once, and what is said
// of each is never more than what it did.
func TestHeavyHittersStay(t *testing.T) {
	tally := census(t, ScopeAddress).Tally()
	now := instant(time.Hour)
	const rounds, heavy = 400, 20
	asked := map[netip.Addr]uint64{}
	ask := func(a netip.Addr) {
		now += proto.Instant(time.Millisecond)
		asked[a]++
		tally.Count(now, a, Accepted)
	}
	next := uint32(heavy)
	for range rounds {
		for i := range uint32(heavy) {
			ask(stranger(i))
		}
		for range 200 {
			ask(stranger(next))
			next++
		}
	}
	all := Clients(now, tally)
	if len(all) != CensusClients {
		t.Errorf("%d are remembered", len(all))
	}
	found := map[netip.Addr]Client{}
	for _, c := range all {
		found[c.Prefix.Addr()] = c
		if n := asked[c.Prefix.Addr()]; c.Requests > n || c.Requests+c.Missed < n {
			t.Errorf("%v asked %d times, and is said to have asked %d to %d times", c.Prefix, n, c.Requests, c.Requests+c.Missed)
		}
	}
	for i := range uint32(heavy) {
		c, ok := found[stranger(i)]
		if !ok {
			t.Errorf("%v asked %d times and is not remembered", stranger(i), asked[stranger(i)])
		} else if c.Requests < rounds*9/10 {
			t.Errorf("%v asked %d times, and %d are known", stranger(i), asked[stranger(i)], c.Requests)
		}
	}
}

// The bounds of Space-Saving hold for every sequence.
func TestCensusBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tally := (&Census{ScopeAddress, sipKey{1, 2}}).Tally()
		asked := map[netip.Addr]uint64{}
		for range rapid.IntRange(0, 5000).Draw(t, "requests") {
			// One in two is of a small crowd.
			n := rapid.Uint32Range(0, 1<<14).Draw(t, "client")
			if n&1 == 0 {
				n &= 63
			}
			asked[stranger(n)]++
			tally.Count(instant(time.Hour), stranger(n), Accepted)
		}
		for _, c := range Clients(instant(time.Hour), tally) {
			if n := asked[c.Prefix.Addr()]; c.Requests > n || c.Requests+c.Missed < n {
				t.Fatalf("%v asked %d times: %+v", c.Prefix, n, c)
			}
		}
	})
}

// After a day of silence a client is gone, and its slot goes first.
func TestCensusForgets(t *testing.T) {
	tally := census(t, ScopeAddress).Tally()
	for range 1000 {
		tally.Count(instant(time.Hour), stranger(1), Accepted)
	}
	at := instant(time.Hour + CensusMemory)
	if all := Clients(at, tally); len(all) != 1 || all[0].Requests != 1000 {
		t.Errorf("after a day: %+v", all)
	}
	if all := Clients(at+1, tally); len(all) != 0 {
		t.Errorf("after more than a day: %+v", all)
	}
	// Others take all slots, the silent heavy one's too, and owe it nothing.
	for n := range uint32(20 * CensusClients) {
		tally.Count(at+1, stranger(n+10), Accepted)
	}
	for _, c := range Clients(at+1, tally) {
		if c.Missed >= 1000 {
			t.Errorf("%+v took over the count of one who is forgotten", c)
		}
	}
	// One who comes back later is a new one.
	tally = census(t, ScopeAddress).Tally()
	tally.Count(instant(time.Hour), stranger(1), Accepted)
	tally.Count(instant(time.Hour+lastAsk), stranger(1), Accepted)
	if all := Clients(instant(time.Hour), tally); len(all) != 1 || all[0].Last != instant(time.Hour+lastAsk) {
		t.Errorf("%+v", all)
	}
}

// lastAsk is far enough behind a request to be remembered as another time.
const lastAsk = time.Duration(lastStep)

// What several workers know of one client is one line.
func TestTalliesJoin(t *testing.T) {
	c := census(t, ScopeAddress)
	one, two := c.Tally(), c.Tally()
	one.Count(instant(time.Hour), stranger(1), AcceptedNTS)
	two.Count(instant(2*time.Hour), stranger(1), RateLimited)
	two.Count(instant(3*time.Hour), stranger(1), Denied)
	two.Count(instant(3*time.Hour), stranger(2), Accepted)
	all := Clients(instant(3*time.Hour), one, nil, two)
	want := Client{
		Prefix: netip.PrefixFrom(stranger(1), 32), Since: instant(time.Hour), Last: instant(3 * time.Hour),
		Requests: 3, NTS: 1, Limited: 1, Denied: 1,
	}
	if len(all) != 2 || all[0] != want {
		t.Errorf("%+v", all)
	}
	if n := Distinct(instant(2*time.Hour), one, nil, two); n != 1 {
		t.Errorf("%d clients", n)
	}
}

// The number of clients is right to a few parts in a hundred, and few are
// counted exactly.
func TestDistinct(t *testing.T) {
	for _, n := range []uint32{0, 1, 2, 5, 20, 100, 1000, 3000, 10_000, 200_000} {
		c := census(t, ScopeNetwork)
		tallies := []*Tally{c.Tally(), c.Tally()}
		for i := range n {
			for range 2 { // asking twice is no other client
				tallies[i%2].Count(instant(time.Hour), stranger(i), Accepted)
			}
		}
		got := Distinct(instant(time.Hour), tallies...)
		if wrong := math.Abs(float64(got) - float64(n)); wrong > float64(n)*0.1 || n <= 5 && wrong != 0 {
			t.Errorf("%d clients of %d", got, n)
		}
	}
}

// A client counts for an hour after its last request, and no longer than
// seventy minutes.
func TestDistinctForgets(t *testing.T) {
	tally := census(t, ScopeNetwork).Tally()
	start := 5 * 24 * time.Hour
	tally.Count(instant(start), stranger(1), Accepted)
	for _, c := range []struct {
		after time.Duration
		want  uint64
	}{{0, 1}, {time.Hour, 1}, {70*time.Minute - 1, 1}, {70 * time.Minute, 0}, {30 * 24 * time.Hour, 0}} {
		if got := Distinct(instant(start+c.after), tally); got != c.want {
			t.Errorf("%v later: %d", c.after, got)
		}
	}
	// The same ten minutes of memory are used again.
	tally.Count(instant(start+70*time.Minute), stranger(2), Accepted)
	if got := Distinct(instant(start+70*time.Minute), tally); got != 1 {
		t.Errorf("%d clients", got)
	}
}

// Those who read do not disturb the one who counts: no reader sees one client's
// figures as another's.
func TestTallyIsReadWhileItCounts(t *testing.T) {
	tally := census(t, ScopeAddress).Tally()
	var reader sync.WaitGroup
	done := make(chan struct{})
	reader.Go(func() {
		for {
			for _, c := range Clients(instant(time.Hour), tally) {
				if b := c.Prefix.Addr().As4(); c.NTS > 0 && b[0]&0x10 != 0 ||
					c.Limited > 0 && b[0]&0x10 == 0 {
					t.Errorf("%+v", c)
				}
			}
			Distinct(instant(time.Hour), tally)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range uint32(1 << 14) {
		tally.Count(instant(time.Hour), stranger(i), AcceptedNTS)
		b := stranger(i).As4()
		b[0] += 0x10
		tally.Count(instant(time.Hour), netip.AddrFrom4(b), RateLimited)
	}
	close(done)
	reader.Wait()
}

func TestCensusWithoutEntropy(t *testing.T) {
	broken := errors.New("broken")
	if _, err := NewCensus(ScopeNetwork, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A worker without a census counts nothing, and counting never allocates.
func TestCountingDoesNotAllocate(t *testing.T) {
	tally, none := census(t, ScopeNetwork).Tally(), (*Tally)(nil)
	n := uint32(0)
	if a := testing.AllocsPerRun(5000, func() {
		n++
		tally.Count(instant(time.Hour), stranger(n), Accepted)
		none.Count(instant(time.Hour), stranger(n), Accepted)
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

func BenchmarkCensus(b *testing.B) {
	for name, crowd := range map[string]uint32{"one": 1, "flood": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			tally := census(b, ScopeNetwork).Tally()
			now, n := instant(time.Hour), uint32(0)
			for b.Loop() {
				now += 1000
				n++
				tally.Count(now, stranger(n%crowd), Accepted)
			}
		})
	}
}
