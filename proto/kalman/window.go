package kalman

import (
	"math"
	"slices"
)

// window remembers round trips of one path, up to a number and an age.
type window struct {
	seen   []trip // oldest first
	sorted []float64
}

type trip struct {
	at    rawTime
	delay float64
}

const (
	// windowSize: fewer delays lose the shortest one when delays are heavy-
	// tailed, more do not help.
	windowSize = 256
	// windowAge: a base older than a day and a half says little; but some
	// are kept whatever their age.
	windowAge  = 36 * 3600.0
	windowKeep = 32
)

func (w *window) add(at rawTime, delay float64) {
	if len(w.seen) >= windowSize {
		w.drop()
	}
	for len(w.seen) > windowKeep && at.since(w.seen[0].at) > windowAge {
		w.drop()
	}
	w.seen = append(w.seen, trip{at, delay})
	i, _ := slices.BinarySearch(w.sorted, delay)
	w.sorted = slices.Insert(w.sorted, i, delay)
}

// drop forgets the oldest.
func (w *window) drop() {
	w.forget(w.seen[0].delay)
	w.seen = slices.Delete(w.seen, 0, 1)
}

// unlearn takes back the newest n, as far as they are there, and returns them.
func (w *window) unlearn(n int) []trip {
	n = min(n, len(w.seen))
	last := slices.Clone(w.seen[len(w.seen)-n:])
	for _, t := range last {
		w.forget(t.delay)
	}
	w.seen = w.seen[:len(w.seen)-n]
	return last
}

func (w *window) forget(delay float64) {
	if i, ok := slices.BinarySearch(w.sorted, delay); ok {
		w.sorted = slices.Delete(w.sorted, i, i+1)
	}
}

// shortest is the least delay seen; +Inf when there is none.
func (w *window) shortest() float64 {
	if len(w.sorted) == 0 {
		return math.Inf(1)
	}
	return w.sorted[0]
}

// rank is the delay below which a share lies.
func (w *window) rank(share float64) float64 {
	return w.sorted[int(share*float64(len(w.sorted)-1))]
}
