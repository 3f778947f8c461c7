package pool

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// fixture are sources in places, of owners.
func fixture(groups ...[3]string) (list []Source) { // country, owner, how many
	for _, g := range groups {
		var n int
		fmt.Sscan(g[2], &n)
		for range n {
			list = append(list, Source{Domain: fmt.Sprintf("s%d.example", len(list)), Port: 4460, Weight: 1, Owner: g[1], Country: g[0]})
		}
	}
	return list
}

func candidatesFor(client string, sources []Source) []candidate {
	owners := make(map[string]int)
	list := make([]candidate, 0, len(sources))
	for _, s := range sources {
		if s.Owner != "" && owners[s.Owner] == 0 {
			owners[s.Owner] = len(owners) + 1
		}
		list = append(list, candidate{weight: s.Weight, quality: fullQuality, owner: owners[s.Owner], tier: tierOf(PlaceOf(client), PlaceOf(s.Country))})
	}
	return list
}

// A client gets servers of its country, if there is choice there; if not, of
// its continent; if not, of the world, and no owner gets too much.
func TestCase36Tiers(t *testing.T) {
	sources := fixture(
		[3]string{"NL", "a", "3"}, [3]string{"NL", "b", "3"}, [3]string{"NL", "c", "3"}, [3]string{"NL", "d", "3"},
		[3]string{"DE", "e", "2"}, [3]string{"FR", "f", "2"}, [3]string{"GB", "g", "1"},
		[3]string{"JP", "h", "1"}, [3]string{"US", "i", "4"},
	)
	random := rand.New(rand.NewPCG(3, 4))
	const draws = 10_000
	for _, c := range []struct {
		client  string
		want    func(Place) bool
		sources int // at least so many are drawn
	}{
		{"NL", func(p Place) bool { return p.Country == "NL" }, 12},
		{"GB", func(p Place) bool { return p.Continent == "EU" }, 17},
		{"JP", func(Place) bool { return true }, 22},
		{"", func(Place) bool { return true }, 22},
	} {
		list := candidatesFor(c.client, sources)
		byOwner, seen, own := make(map[string]int), make(map[int]bool), 0
		for range draws {
			d := newDrawing(list, make([]bool, len(list)))
			d.arrange(35)
			i, ok := d.next(random.Uint64N)
			if !ok || !c.want(PlaceOf(sources[i].Country)) {
				t.Fatalf("a client in %q got %v", c.client, sources[i])
			}
			byOwner[sources[i].Owner]++
			seen[i] = true
			if sources[i].Country == c.client {
				own++
			}
		}
		if len(seen) != c.sources {
			t.Errorf("a client in %q is drawn from %d sources, want %d", c.client, len(seen), c.sources)
		}
		for owner, n := range byOwner {
			if n > draws*37/100 { // 4 σ above 35 %
				t.Errorf("a client in %q got %d of %d from %s", c.client, n, draws, owner)
			}
		}
		if c.client == "GB" && own < draws/24 { // nearer ones are preferred
			t.Errorf("%d of %d came from the own country", own, draws)
		}
	}
}

// What can be counted on is counted: sources that do not work, that the client
// has, or that are all of one owner are no choice.
func TestWidening(t *testing.T) {
	near := func(change func(i int, c *candidate)) tier {
		list := candidatesFor("NL", fixture([3]string{"NL", "", "8"}, [3]string{"DE", "", "9"}))
		for i := range list {
			change(i, &list[i])
		}
		return newDrawing(list, make([]bool, len(list))).widest()
	}
	for name, c := range map[string]struct {
		change func(int, *candidate)
		want   tier
	}{
		"eight":      {func(int, *candidate) {}, sameCountry},
		"one down":   {func(i int, c *candidate) { c.health = health(2 * (i % 8 / 7)) }, sameContinent},
		"one known":  {func(i int, c *candidate) { c.known = i == 0 }, sameContinent},
		"three own":  {func(i int, c *candidate) { c.owner = 1 + i%3 }, elsewhere},
		"four own":   {func(i int, c *candidate) { c.owner = 1 + i%4 }, sameCountry},
		"all gone":   {func(_ int, c *candidate) { c.health = suspected }, elsewhere},
		"one weight": {func(i int, c *candidate) { c.weight = uint32(min(i, 1)) }, sameContinent},
	} {
		if got := near(c.change); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Shares of owners keep to the limit, or are even where the limit cannot be
// kept; nobody gets less than before the cut.
func TestOwnersAreCapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, owners := rapid.IntRange(1, 30).Draw(t, "sources"), rapid.IntRange(1, 8).Draw(t, "owners")
		percent := rapid.IntRange(1, 99).Draw(t, "percent")
		list := make([]candidate, n)
		there := make(map[int]bool)
		for i := range list {
			list[i] = candidate{weight: uint32(rapid.IntRange(1, 1000).Draw(t, "weight")), quality: fullQuality, tier: elsewhere, owner: rapid.IntRange(1, owners).Draw(t, "owner")}
			there[list[i].owner] = true
		}
		d := newDrawing(list, make([]bool, n))
		d.arrange(percent)
		sums, total := make(map[int]float64), 0.0
		for i, c := range list {
			if d.shares[i] == 0 || d.shares[i] > uint64(c.weight)*fullQuality {
				t.Fatalf("share %d of weight %d", d.shares[i], c.weight)
			}
			sums[c.owner] += float64(d.shares[i])
			total += float64(d.shares[i])
		}
		limit := max(float64(percent)/100, 1/float64(len(there)))
		for o, sum := range sums {
			if sum/total > limit+0.02 { // shares are whole numbers
				t.Fatalf("owner %d has %.3f of the draw, limit %.3f", o, sum/total, limit)
			}
		}
	})
}

// The pool's names 0. to 3. give different servers, its own name all of them.
func TestCase37Shards(t *testing.T) {
	const shards = 4
	in := make(map[int][]string)
	for i := range 8 {
		s := Source{Domain: fmt.Sprintf("s%d.example.net", i), Port: 4460, Weight: 1}
		in[shardOf(s, shards)] = append(in[shardOf(s, shards)], s.Domain)
	}
	r := Rules{Shards: shards}
	for name, want := range map[string]int{
		"0.pool.example": 0, "3.pool.example": 3, "4.pool.example": allShards, "pool.example": allShards, "": allShards,
		"01.pool.example": allShards, "-1.pool.example": allShards, "1": allShards,
	} {
		if got := r.shard(name); got != want {
			t.Errorf("%q is shard %d, want %d", name, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 8 {
			w.add(func(s *source) { s.keep = true })
		}
		w.own = w.ca.Leaf([]string{"192.0.2.1", "0.pool.example", "1.pool.example", "2.pool.example", "3.pool.example"})
		w.change = func(c *Config) { c.Uniform, c.Rules = nil, r }
		w.start()
		time.Sleep(time.Second)
		got := make(map[string]map[int]bool)
		for i := range 100 {
			shard := i % (shards + 1)
			res, err := w.exchange(func(q *ke.ClientRequest) {
				if shard < shards {
					q.ServerName = fmt.Sprintf("%d.pool.example", shard)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got[res.Server] == nil {
				got[res.Server] = make(map[int]bool)
			}
			got[res.Server][shard] = true
		}
		for server, by := range got {
			for shard := range by {
				// A name without a source of its own has all.
				if own := shardOf(Source{Domain: server, Port: 4460}, shards); shard < shards && len(in[shard]) > 0 && shard != own {
					t.Errorf("%s of shard %d came by the name of shard %d", server, own, shard)
				}
			}
		}
		if len(got) != 8 {
			t.Errorf("%d servers were given", len(got))
		}
	})
	// One that goes moves no other, by construction; and few move if there
	// is one more shard.
	moved := 0
	for i := range 1000 {
		s := Source{Domain: fmt.Sprintf("m%d.example", i), Port: 4460}
		if shardOf(s, 4) != shardOf(s, 5) {
			moved++
		}
	}
	if moved < 150 || moved > 250 {
		t.Errorf("%d of 1000 moved to another shard with a fifth", moved)
	}
}

func TestQuality(t *testing.T) {
	var q quality
	if q.value() != fullQuality {
		t.Errorf("at first %d", q.value())
	}
	for range 100 {
		q.outcome(false)
	}
	if v := q.value(); v > 60 {
		t.Errorf("after failures %d", v)
	}
	for range 40 {
		q.outcome(true)
	}
	if v := q.value(); v != fullQuality {
		t.Errorf("after a recovery %d", v)
	}
	q.took(100 * time.Millisecond)
	if v := q.value(); v != fullQuality {
		t.Errorf("with a short way %d", v)
	}
	for range 100 {
		q.took(8 * time.Second)
	}
	if v := q.value(); v != fullQuality/4 {
		t.Errorf("with a long way %d", v)
	}
}

// BenchmarkDraw is one draw among five thousand sources of places and owners.
func BenchmarkDraw(b *testing.B) {
	var groups [][3]string
	for i := range 500 {
		groups = append(groups, [3]string{[]string{"NL", "DE", "US", "JP"}[i%4], fmt.Sprint("owner", i), "10"})
	}
	list := candidatesFor("NL", fixture(groups...))
	denied := make([]bool, len(list))
	random := rand.New(rand.NewPCG(9, 9))
	for b.Loop() {
		d := newDrawing(list, denied)
		d.arrange(35)
		d.next(random.Uint64N)
	}
}
