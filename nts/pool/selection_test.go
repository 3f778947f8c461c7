package pool

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/internal/testlog"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// sequence draws everything out of a drawing, always the first number.
func sequence(d *drawing, uniform func(uint64) uint64) []int {
	var list []int
	for {
		i, ok := d.next(uniform)
		if !ok {
			return list
		}
		list = append(list, i)
	}
}

func first(uint64) uint64  { return 0 }
func last(n uint64) uint64 { return n - 1 }

func TestRanks(t *testing.T) {
	one := candidate{weight: 1}
	wished, known, suspect := candidate{weight: 1, wished: true}, candidate{weight: 1, known: true}, candidate{weight: 1, health: suspected}
	down := candidate{weight: 1, health: unusable}
	for _, c := range []struct {
		name    string
		list    []candidate
		denied  []int
		uniform func(uint64) uint64
		want    []int
	}{
		{"the order of the file", []candidate{one, one, one}, nil, first, []int{0, 1, 2}},
		{"the other way", []candidate{one, one, one}, nil, last, []int{2, 1, 0}},
		{"denied", []candidate{one, one, one}, []int{1}, first, []int{0, 2}},
		{"all denied", []candidate{one, one}, []int{0, 1}, first, nil},
		{"drained", []candidate{{}, one}, nil, first, []int{1}},
		{"drained and wished for", []candidate{{wished: true}, one}, nil, first, []int{1}},
		{"wished for", []candidate{one, wished}, nil, first, []int{1, 0}},
		{"of an owner that the client has", []candidate{known, one}, nil, first, []int{1, 0}},
		{"suspected", []candidate{suspect, known, one}, nil, first, []int{2, 1, 0}},
		{"unusable keeps its place", []candidate{down, one}, nil, first, []int{0, 1}},
		{"weights", []candidate{{weight: 3}, {weight: 2}}, nil, func(n uint64) uint64 { return min(3, n-1) }, []int{1, 0}},
		{"weights, one less", []candidate{{weight: 3}, {weight: 2}}, nil, func(n uint64) uint64 { return min(2, n-1) }, []int{0, 1}},
	} {
		denied := make([]bool, len(c.list))
		for _, i := range c.denied {
			denied[i] = true
		}
		if got := sequence(newDrawing(c.list, denied), c.uniform); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	d := newDrawing([]candidate{down, one, down}, make([]bool, 3))
	d.onlyUsable()
	if got := sequence(d, first); !reflect.DeepEqual(got, []int{1}) {
		t.Errorf("usable are %v", got)
	}
}

// Every source that is not left out is drawn once, in any draw.
func TestDrawIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "sources")
		list, denied := make([]candidate, n), make([]bool, n)
		want := 0
		for i := range n {
			list[i] = candidate{
				weight: rapid.Uint32Range(0, 5).Draw(t, "weight"),
				health: health(rapid.IntRange(0, 2).Draw(t, "health")),
				wished: rapid.Bool().Draw(t, "wished"),
				known:  rapid.Bool().Draw(t, "known"),
			}
			denied[i] = rapid.Bool().Draw(t, "denied")
			if list[i].weight > 0 && !denied[i] {
				want++
			}
		}
		seen := make([]bool, n)
		rank := 0
		for _, i := range sequence(newDrawing(list, denied), func(n uint64) uint64 { return rapid.Uint64Range(0, n-1).Draw(t, "draw") }) {
			if seen[i] || denied[i] || list[i].weight == 0 || list[i].rank() < rank {
				t.Fatalf("%d after rank %d among %+v", i, rank, list)
			}
			seen[i], rank = true, list[i].rank()
			want--
		}
		if want != 0 {
			t.Fatalf("%d are missing", want)
		}
	})
}

func TestCase32WeightsAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const draws = 100_000
	for _, c := range []struct {
		weights []uint32
		denied  []bool
	}{
		{[]uint32{1, 2, 7}, []bool{false, false, false}},
		{[]uint32{1, 2, 7}, []bool{false, false, true}},
	} {
		var list []candidate
		sum := 0.0
		for i, w := range c.weights {
			list = append(list, candidate{weight: w})
			if !c.denied[i] {
				sum += float64(w)
			}
		}
		times := make([]float64, len(list))
		for range draws {
			i, _ := newDrawing(list, c.denied).next(random.Uint64N)
			times[i]++
		}
		for i, w := range c.weights {
			p := float64(w) / sum
			if c.denied[i] {
				p = 0
			}
			if off := math.Abs(times[i] - p*draws); off > 4*math.Sqrt(draws*p*(1-p)) {
				t.Errorf("weights %v without %v: %d was drawn %v times", c.weights, c.denied, i, times[i])
			}
		}
	}
}

func TestChoose(t *testing.T) {
	both := []nts.SupportedAlgorithm{{ID: 15, KeyLen: 32}, {ID: 17, KeyLen: 64}, {ID: 30, KeyLen: 16}, {ID: 16, KeyLen: 48}}
	for _, c := range []struct {
		name    string
		offered []aead.Algorithm
		list    []nts.SupportedAlgorithm
		want    aead.Algorithm // 0: none
	}{
		{"the client's order", []aead.Algorithm{17, 15}, both, 17},
		{"the client's order, the other way", []aead.Algorithm{15, 17}, both, 15},
		{"the source has only the second", []aead.Algorithm{17, 15}, both[:1], 15},
		{"30 is not chosen while its context is in doubt", []aead.Algorithm{30, 15}, both, 15},
		{"30 alone", []aead.Algorithm{30}, both, 0},
		{"one that only the two know", []aead.Algorithm{16}, both, 16},
		{"nothing in common", []aead.Algorithm{99}, both, 0},
		{"the source has none", []aead.Algorithm{15}, nil, 0},
		{"a wrong key length", []aead.Algorithm{15}, []nts.SupportedAlgorithm{{ID: 15, KeyLen: 16}}, 0},
		{"an absurd key length", []aead.Algorithm{16}, []nts.SupportedAlgorithm{{ID: 16, KeyLen: 65535}}, 0},
		{"no key length", []aead.Algorithm{16}, []nts.SupportedAlgorithm{{ID: 16}}, 0},
	} {
		got, ok := choose(nts.KeyExchange{Algorithms: c.offered}, c.list)
		if got.ID != c.want || ok != (c.want != 0) {
			t.Errorf("%s: chose %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLearntNamesAreBounded(t *testing.T) {
	var log testlog.Buffer
	m := newMember(Source{Domain: "ke.example.net", Port: 4460}, &upstream{log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 1000 {
		m.learn(fmt.Sprintf("ntp%d.example.net", rand.IntN(100)))
	}
	m.learn("Last.example.net.")
	m.learn("last.example.net")
	if n := len(m.names); n != mostNames+1 || m.names[0] != "ke.example.net" || m.names[n-1] != "last.example.net" || m.names[n-2] == "last.example.net" {
		t.Errorf("%d names: %v", n, m.names)
	}
	if strings.Count(log.String(), "code=pool-names") != 1 {
		t.Errorf("that there are too many is said otherwise than once:\n%s", log.String())
	}
}
