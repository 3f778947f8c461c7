package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// column is one column of a grid.
type column struct {
	title string
	right bool // aligned to the right
	drop  int  // columns are left out in this order when room is short; 0 never is
	cells []string
	paint []string // attribute of each cell; nil for none
	least int      // how far the column may be shortened; 0 not at all
}

// empty reports whether a column that may be left out says nothing.
func (c *column) empty() bool {
	return c.drop > 0 && !slices.ContainsFunc(c.cells, func(cell string) bool { return cell != "-" })
}

func (c *column) width() int {
	w := width(c.title)
	for _, cell := range c.cells {
		w = max(w, width(cell))
	}
	return w
}

// grid prints columns side by side, as many as there is room for. below(i) are
// lines to print below row i.
func (sc screen) grid(w io.Writer, columns []*column, below func(i int) []string) {
	for _, c := range columns {
		for i := range c.cells {
			c.cells[i] = sc.text(c.cells[i])
		}
		c.title = sc.text(c.title)
	}
	columns, widths := sc.fit(columns)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = pad(c.title, widths[i], c.right)
	}
	fmt.Fprintf(w, "%s\n", sc.paint(dim, strings.TrimRight(strings.Join(cells, " "), " ")))
	for row := range columns[0].cells {
		for i, c := range columns {
			cells[i] = pad(shorten(c.cells[row], widths[i]), widths[i], c.right)
			if c.paint != nil {
				cells[i] = sc.paint(c.paint[row], cells[i])
			}
		}
		fmt.Fprintf(w, "%s\n", strings.TrimRight(strings.Join(cells, " "), " "))
		if below == nil {
			continue
		}
		for _, l := range below(row) {
			fmt.Fprintf(w, "%s\n", l)
		}
	}
}

// fit leaves columns out, and then shortens those that may be, until the rest
// has room.
func (sc screen) fit(columns []*column) ([]*column, []int) {
	columns = slices.DeleteFunc(slices.Clone(columns), (*column).empty)
	for {
		widths := make([]int, len(columns))
		total, give := len(columns)-1, 0
		for i, c := range columns {
			widths[i] = c.width()
			total += widths[i]
			if c.least > 0 {
				give += max(widths[i]-c.least, 0)
			}
		}
		if over := total - sc.width; over <= give {
			for i, c := range columns {
				if c.least > 0 && over > 0 {
					cut := min(over, max(widths[i]-c.least, 0))
					widths[i] -= cut
					over -= cut
				}
			}
			return columns, widths
		}
		next := -1
		for i, c := range columns {
			if c.drop > 0 && (next < 0 || c.drop < columns[next].drop) {
				next = i
			}
		}
		if next < 0 {
			return columns, widths
		}
		columns = slices.Delete(columns, next, next+1)
	}
}
