package srv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUsable(t *testing.T) {
	got := Usable([]Record{
		{10, 1, 4460, "B.Example."}, {0, 1, 4461, "a.example"}, {0, 0, 4460, "."}, {0, 0, 4460, "192.0.2.1"}, {0, 0, 4460, "2001:db8::1"},
		{0, 0, 0, "c.example"}, {5, 9, 4461, "A.example."}, {0, 0, 4460, "white space.example"}, {0, 0, 4460, "a..example"},
		{0, 0, 4460, strings.Repeat("a", 64) + ".example"}, {0, 0, 4460, strings.Repeat("a.", 128)},
	})
	if want := []Record{{0, 1, 4461, "a.example"}, {10, 1, 4460, "b.example"}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	var many []Record
	for i := range 2 * Most {
		many = append(many, Record{Priority: uint16(2*Most - i), Port: 1, Target: fmt.Sprintf("s%d.example", i)})
	}
	if got := Usable(many); len(got) != Most || got[0].Priority != 1 || got[Most-1].Priority != Most {
		t.Errorf("%d, %v ... %v", len(got), got[0], got[len(got)-1])
	}
}

// Weights 9 and 1 come first in nine and one of ten draws, but for the one
// number more that RFC 2782 draws from, which goes to the first of the list.
func TestCase51RFC2782Weights(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const draws = 100_000
	for _, c := range []struct {
		list []Record
		want []float64 // of being first
	}{
		{[]Record{{0, 9, 1, "a"}, {0, 1, 1, "b"}}, []float64{10. / 11, 1. / 11}},
		{[]Record{{0, 90, 1, "a"}, {0, 10, 1, "b"}}, []float64{91. / 101, 10. / 101}},
		{[]Record{{0, 100, 1, "a"}, {0, 0, 1, "b"}}, []float64{100. / 101, 1. / 101}},
		{[]Record{{1, 100, 1, "a"}, {0, 1, 1, "b"}}, []float64{0, 1}},
	} {
		first := make([]float64, len(c.list))
		for range draws {
			first[slices.Index(c.list, Order(c.list, random.Uint64N)[0])]++
		}
		for i, p := range c.want {
			if off := math.Abs(first[i] - p*draws); off > 4*math.Sqrt(draws*p*(1-p)) {
				t.Errorf("%v: %d came first %v times", c.list, i, first[i])
			}
		}
	}
}

func TestOrderKeepsAllAndPriorities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Record
		for i := range rapid.IntRange(0, 20).Draw(t, "records") {
			list = append(list, Record{
				uint16(rapid.IntRange(0, 3).Draw(t, "priority")), uint16(rapid.IntRange(0, 65535).Draw(t, "weight")), 4460, fmt.Sprint(i),
			})
		}
		before := slices.Clone(list)
		got := Order(list, func(n uint64) uint64 { return rapid.Uint64Range(0, n-1).Draw(t, "draw") })
		if !slices.Equal(before, list) {
			t.Fatal("the argument was changed")
		}
		if !slices.IsSortedFunc(got, func(a, b Record) int { return int(a.Priority) - int(b.Priority) }) || len(got) != len(list) {
			t.Fatalf("%v of %v", got, list)
		}
		for _, r := range list {
			if !slices.Contains(got, r) {
				t.Fatalf("%v is missing", r)
			}
		}
	})
}
