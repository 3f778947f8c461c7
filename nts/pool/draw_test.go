package pool

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// brokerOf is a broker among sources that nobody connects to, with what is known
// of each by its domain.
func brokerOf(rules Rules, sources []Source, known map[string]func(*leg)) *broker {
	b := &broker{strange: slog.New(slog.DiscardHandler)}
	b.rules.Store(&rules)
	var members []*member
	owners := make(map[string]int)
	for _, s := range sources {
		m := newMember(s, &upstream{counters: new(counters)})
		if s.Owner != "" {
			if owners[s.Owner] == 0 {
				owners[s.Owner] = len(owners) + 1
			}
			m.owner = owners[s.Owner]
		}
		if change := known[s.Domain]; change != nil {
			change(m.legs[ipv4])
		}
		members = append(members, m)
	}
	b.members.Store(&members)
	return b
}

// judge compares how often each was drawn with how often it should have been:
// 4 σ, and what must never come never comes.
func judge(t *testing.T, what string, draws int, times, share map[string]float64) {
	t.Helper()
	sum := 0.0
	for _, w := range share {
		sum += w
	}
	for name := range times {
		if share[name] == 0 {
			t.Errorf("%s: %s was drawn %v times", what, name, times[name])
		}
	}
	for name, w := range share {
		p := w / sum
		n := float64(draws)
		if off := math.Abs(times[name] - p*n); off > 4*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%s: %s was drawn %v times of %d, want %.0f", what, name, times[name], draws, p*n)
		}
	}
}

// What a source is drawn by is its weight, times how many of its exchanges go
// well, times how soon: exactly, and among those that the client does not deny.
func TestHealthAndRoundTripEnterTheDraw(t *testing.T) {
	const draws = 100_000
	sources := []Source{
		{Domain: "good.example", Port: 4460, Weight: 2},
		{Domain: "heavy.example", Port: 4460, Weight: 7},
		{Domain: "far.example", Port: 4460, Weight: 4},
		{Domain: "bad.example", Port: 4460, Weight: 8},
		{Domain: "worse.example", Port: 4460, Weight: 10},
		{Domain: "drained.example", Port: 4460},
	}
	again := func(n int, do func(*leg)) func(*leg) {
		return func(l *leg) {
			for range n {
				do(l)
			}
		}
	}
	b := brokerOf(Rules{}, sources, map[string]func(*leg){
		"far.example":   func(l *leg) { l.quality.took(2 * slowTrip) },
		"bad.example":   again(1, func(l *leg) { l.quality.outcome(false) }),
		"worse.example": again(100, func(l *leg) { l.quality.outcome(false) }),
	})
	// A trip of twice slowTrip halves the share; one failure of those that
	// count takes an eighth; who always fails is left a twentieth.
	all := map[string]float64{"good.example": 2, "heavy.example": 7, "far.example": 4 * 0.5, "bad.example": 8 * 0.875, "worse.example": 10 * 0.05}
	random := rand.New(rand.NewPCG(20, 26))
	for _, denied := range [][]string{nil, {"heavy.example"}, {"HEAVY.example.", "good.example", "unknown.example"}} {
		q := nts.KeyExchange{}
		share := make(map[string]float64)
		for name, w := range all {
			share[name] = w
		}
		for _, name := range denied {
			q.Deny = append(q.Deny, nts.Deny{Name: name})
			delete(share, nts.CanonicalServer(name))
		}
		who := asker{family: ipv4, shard: allShards}
		if q.Deny != nil {
			who.deny = namesIn(q)
		}
		times := make(map[string]float64)
		for range draws {
			d, _ := b.draw(q, who)
			i, ok := d.next(random.Uint64N)
			if !ok {
				t.Fatal("nobody is left")
			}
			times[sources[i].Domain]++
		}
		judge(t, fmt.Sprint("without ", denied), draws, times, share)
	}
}

// The second that is drawn, after the first did not work, is as exact: by the
// weights of those that are left.
func TestSecondDrawIsExact(t *testing.T) {
	const draws = 200_000
	weights := []uint32{1, 2, 3, 6}
	var list []candidate
	share := make(map[string]float64)
	for i, w := range weights {
		list = append(list, candidate{weight: w})
		for j, v := range weights {
			if i != j {
				share[fmt.Sprint(i, j)] = float64(w) / 12 * float64(v) / float64(12-w)
			}
		}
	}
	random := rand.New(rand.NewPCG(5, 53))
	times := make(map[string]float64)
	for range draws {
		d := newDrawing(list, make([]bool, len(list)))
		i, _ := d.next(random.Uint64N)
		j, _ := d.next(random.Uint64N)
		times[fmt.Sprint(i, j)]++
	}
	judge(t, "pairs", draws, times, share)
}

// The cap of an owner is exact, too: what it is cut by goes to the others in
// proportion to their weights.
func TestCapIsExact(t *testing.T) {
	const draws = 100_000
	sources := []Source{
		{Domain: "a1.example", Port: 4460, Weight: 60, Owner: "a"}, {Domain: "a2.example", Port: 4460, Weight: 20, Owner: "a"},
		{Domain: "b.example", Port: 4460, Weight: 12, Owner: "b"}, {Domain: "c.example", Port: 4460, Weight: 6, Owner: "c"},
		{Domain: "d.example", Port: 4460, Weight: 2},
	}
	random := rand.New(rand.NewPCG(35, 100))
	for percent, share := range map[int]map[string]float64{
		0:  {"a1.example": 60, "a2.example": 20, "b.example": 12, "c.example": 6, "d.example": 2},
		40: {"a1.example": 30, "a2.example": 10, "b.example": 36, "c.example": 18, "d.example": 6},
		// Now b is beyond the cap, too.
		35: {"a1.example": 26.25, "a2.example": 8.75, "b.example": 35, "c.example": 22.5, "d.example": 7.5},
		// Of four owners nobody can have less than a quarter.
		10: {"a1.example": 18.75, "a2.example": 6.25, "b.example": 25, "c.example": 25, "d.example": 25},
	} {
		b := brokerOf(Rules{OwnerPercent: percent}, sources, nil)
		times := make(map[string]float64)
		for range draws {
			d, _ := b.draw(nts.KeyExchange{}, asker{family: ipv4, shard: allShards})
			i, _ := d.next(random.Uint64N)
			times[sources[i].Domain]++
		}
		judge(t, fmt.Sprint(percent, "%"), draws, times, share)
	}
}

// What has been learnt is used: a source that fails, and one that is slow, get
// fewer clients than before, by way of what goes on between it and the pool.
func TestQualityIsLearnt(t *testing.T) {
	b := brokerOf(Rules{}, []Source{{Domain: "a.example", Port: 4460, Weight: 1}}, nil)
	l := (*b.members.Load())[0].legs[ipv4]
	quality := func() uint32 {
		_, q := l.health(time.Now())
		return q
	}
	if quality() != fullQuality {
		t.Errorf("at first %d", quality())
	}
	c := &upstreamConn{leg: l}
	c.timed(10 * slowTrip) // a new connection says nothing about the way
	if quality() != fullQuality {
		t.Errorf("after a handshake %d", quality())
	}
	c.reused = true
	c.timed(2 * slowTrip)
	if quality() != fullQuality/2 {
		t.Errorf("after a slow exchange %d", quality())
	}
}
