package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// A list in DNS that lacks many of the servers of before is believed when it has
// come three times in a row, and one that lacks few at once.
func TestListsThatShrinkAreDoubted(t *testing.T) {
	list := func(from, to int) (records []srv.Record) {
		for i := from; i < to; i++ {
			records = append(records, srv.Record{Target: fmt.Sprintf("s%d.example", i), Port: 4460})
		}
		return records
	}
	for name, c := range map[string]struct {
		lists  [][]srv.Record
		accept string // one letter for each: y or n
		left   int
	}{
		"grows":                 {[][]srv.Record{list(0, 10), list(0, 20)}, "yy", 20},
		"loses four of ten":     {[][]srv.Record{list(0, 10), list(4, 10)}, "yy", 6},
		"loses five of ten":     {[][]srv.Record{list(0, 10), list(5, 10)}, "yn", 10},
		"thrice":                {[][]srv.Record{list(0, 10), list(5, 10), list(5, 10), list(5, 10)}, "ynny", 5},
		"not in a row":          {[][]srv.Record{list(0, 10), list(5, 10), list(5, 10), list(0, 10), list(5, 10)}, "ynnyn", 10},
		"others in their place": {[][]srv.Record{list(0, 10), list(10, 20)}, "yn", 10},
		"the only one":          {[][]srv.Record{list(0, 1), list(1, 2)}, "yy", 1},
		"another port":          {[][]srv.Record{list(0, 2), {{Target: "s0.example", Port: 1}, {Target: "s1.example", Port: 1}}}, "yn", 2},
	} {
		f := findings{records: make(map[string][]srv.Record), doubted: make(map[string]int)}
		var got strings.Builder
		for _, records := range c.lists {
			if err := f.take("pool.example", records); err == nil {
				got.WriteByte('y')
			} else {
				got.WriteByte('n')
				if !strings.Contains(err.Error(), "of pool.example are gone from DNS; the list of before is kept until") {
					t.Error(err)
				}
			}
		}
		if got.String() != c.accept || len(f.records["pool.example"]) != c.left {
			t.Errorf("%s: %s and %d servers, want %s and %d", name, got.String(), len(f.records["pool.example"]), c.accept, c.left)
		}
	}
}
