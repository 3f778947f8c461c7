package kalman

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestChoose(t *testing.T) {
	v := func(low, high float64) interval { return interval{low: low, high: high, votes: true} }
	old := func(low, high float64) interval { return interval{low: low, high: high, votes: true, incumbent: true} }
	mute := func(low, high float64) interval { return interval{low: low, high: high} }
	tests := []struct {
		name     string
		all      []interval
		agreeing int
		chosen   []bool
	}{
		{"nobody", nil, 0, []bool{}},
		{"one", []interval{v(1, 2)}, 1, []bool{true}},
		{"two that agree", []interval{v(1, 3), v(2, 4)}, 2, []bool{true, true}},
		{"two that touch", []interval{v(1, 2), v(2, 4)}, 2, []bool{true, true}},
		{"two apart: one of them", []interval{v(1, 2), v(3, 5)}, 1, []bool{true, false}},
		{"a liar", []interval{v(1, 3), v(2, 4), v(9, 10)}, 2, []bool{true, true, false}},
		{"a liar below", []interval{v(-9, -8), v(1, 3), v(2, 4)}, 2, []bool{false, true, true}},
		{"a point", []interval{v(2, 2), v(2, 2), v(1, 3)}, 3, []bool{true, true, true}},
		{"the mute follow", []interval{v(1, 3), mute(2, 2), mute(5, 6)}, 1, []bool{true, true, false}},
		{"only the mute", []interval{mute(1, 2)}, 0, []bool{false}},
		{"a tie goes to the incumbents", []interval{v(0, 10), v(1, 2), old(8, 9)}, 2, []bool{true, false, true}},
		{"a tie goes to the narrower", []interval{v(0, 10), v(1, 3), v(8, 9)}, 2, []bool{true, false, true}},
	}
	for _, tt := range tests {
		agreeing, _, chosen := choose(tt.all)
		if agreeing != tt.agreeing || !slices.Equal(chosen, tt.chosen) {
			t.Errorf("%s: %d agree, chosen %v; want %d, %v", tt.name, agreeing, chosen, tt.agreeing, tt.chosen)
		}
	}
}

// The sweep finds what trying every end as the common point finds.
func TestChooseIsTheLargestGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := make([]interval, rapid.IntRange(0, 12).Draw(t, "n"))
		for i := range all {
			low := float64(rapid.IntRange(-10, 10).Draw(t, "low"))
			all[i] = interval{low: low, high: low + float64(rapid.IntRange(0, 8).Draw(t, "width")), votes: rapid.Bool().Draw(t, "votes"), incumbent: rapid.Bool().Draw(t, "old")}
		}
		want := 0
		for _, e := range all {
			n := 0
			for _, o := range all {
				if o.votes && o.low <= e.low && e.low <= o.high {
					n++
				}
			}
			want = max(want, n)
		}
		agreeing, common, chosen := choose(all)
		if agreeing != want {
			t.Fatalf("%d agree, want %d", agreeing, want)
		}
		n := 0
		for i, v := range all {
			if v.votes && v.low <= common.low && common.high <= v.high {
				n++
			}
			if agreeing > 0 && chosen[i] != (v.low <= common.high && v.high >= common.low) {
				t.Fatalf("interval %d chosen %v", i, chosen[i])
			}
		}
		if agreeing > 0 && n != agreeing {
			t.Fatalf("%d intervals contain the common part, want %d", n, agreeing)
		}
	})
}

// Whoever is far off by what was measured and covers it by what it claims agrees
// with the majority, and leads nobody.
func TestUsefulIsWhatWasMeasuredToAgree(t *testing.T) {
	v := func(low, high, claimed float64) interval {
		return interval{low: low, high: high, claimed: claimed, votes: true}
	}
	mute := func(low, high float64) interval { return interval{low: low, high: high} }
	for _, tt := range []struct {
		name   string
		all    []interval
		useful []bool
	}{
		{"nobody claims anything", []interval{v(0, 2, 0), v(1, 3, 0)}, []bool{true, true}},
		{"a liar with an excuse", []interval{v(0, 2, 0), v(1, 3, 0), v(-9, 21, 14)}, []bool{true, true, false}},
		{"a liar below", []interval{v(0, 2, 0), v(1, 3, 0), v(-21, 9, 14)}, []bool{true, true, false}},
		{"a rough one that is right", []interval{v(0, 2, 0), v(1, 3, 0), v(-13, 17, 14)}, []bool{true, true, true}},
		{"it touches", []interval{v(0, 2, 0), v(1, 3, 0), v(-12, 18, 14)}, []bool{true, true, true}},
		{"rough ones that meet in their claims", []interval{v(-31, 31, 30), v(29, 91, 30)}, []bool{true, true}},
		{"and a mute one between them", []interval{v(-31, 31, 30), v(29, 91, 30), mute(29, 31)}, []bool{true, true, true}},
		{"a liar who claims nothing, among rough ones who agree", []interval{v(-31, 31, 30), v(-30, 32, 30), v(25, 26, 0)}, []bool{true, true, false}},
		{"one who claims nothing, among rough ones who do not", []interval{v(-31, 31, 30), v(-11, 51, 30), v(19, 20, 0)}, []bool{false, true, true}},
		{"a liar without one", []interval{v(0, 2, 0), v(1, 3, 0), v(9, 21, 0)}, []bool{true, true, false}},
	} {
		_, common, chosen := choose(tt.all)
		if got := useful(tt.all, common, chosen); !slices.Equal(got, tt.useful) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.useful)
		}
	}
}
