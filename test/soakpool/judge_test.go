package main

import (
	"fmt"
	"strings"
	"testing"
)

// What must not pass does not.
func TestJudge(t *testing.T) {
	key1, key2 := "the key of one client, the rest", "that of another client, the rest"
	few := usage{30, 20}
	for name, c := range map[string]struct {
		records [2][]string
		from    [2]string // whose cookies the two clients have
		counts  tally
		after   usage
		want    string
	}{
		"all is well":         {[2][]string{{"..." + key1 + "..."}, {key2}}, [2]string{"s0", "s1"}, tally{2, 2, 0, 0}, few, ""},
		"one client failed":   {[2][]string{{key1}, nil}, [2]string{"", ""}, tally{2, 1, 1, 0}, few, ""},
		"again to the same":   {[2][]string{{key1, key1}, {key2}}, [2]string{"s0", "s1"}, tally{2, 2, 0, 0}, few, ""},
		"keys to two sources": {[2][]string{{"......." + key1}, {key2, key1}}, [2]string{"s0", "s1"}, tally{2, 2, 0, 0}, few, "the keys of one client went to [s0 s1]"},
		"though it failed":    {[2][]string{{key1}, {key1}}, [2]string{"", ""}, tally{2, 1, 1, 0}, few, "the keys of one client went to [s0 s1]"},
		"cookies of another":  {[2][]string{{key1}, {key2}}, [2]string{"s1", ""}, tally{2, 2, 0, 0}, few, "has cookies of s1, and its keys went to [s0]"},
		"cookies of nobody":   {[2][]string{nil, nil}, [2]string{"s1", ""}, tally{2, 2, 0, 0}, few, "has cookies of s1, and its keys went to []"},
		"strange answers":     {[2][]string{nil, nil}, [2]string{}, tally{2, 1, 0, 1}, few, "1 clients were answered as no pool answers"},
		"too many failures":   {[2][]string{nil, nil}, [2]string{}, tally{9, 3, 6, 0}, few, "only 3 of 9"},
		"nothing was done":    {[2][]string{nil, nil}, [2]string{}, tally{}, few, "only 0 of 0"},
		"goroutines":          {[2][]string{nil, nil}, [2]string{}, tally{1, 1, 0, 0}, usage{100, 20}, "something leaks"},
		"descriptors":         {[2][]string{nil, nil}, [2]string{}, tally{1, 1, 0, 0}, usage{30, 40}, "something leaks"},
	} {
		s := &soak{known: make(map[key]*client), counts: c.counts}
		for i, octets := range []string{key1, key2} {
			s.known[key([]byte(octets)[:16])] = &client{from: c.from[i]}
		}
		for i, record := range c.records {
			source := &source{name: fmt.Sprintf("s%d", i)}
			for _, octets := range record {
				source.record = append(source.record, []byte(octets))
			}
			s.list = append(s.list, source)
		}
		got := fmt.Sprint(s.problems(few, c.after))
		if c.want == "" && got != "[]" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
