package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Watch notices when someone else moves a clock, and when the machine slept:
// the clock then moved against the monotonic ones by more than frequencies
// and our own steps explain.
type Watch struct {
	src  *source
	c    Clock
	last reading
}

// reading is all clocks at about one moment.
type reading struct {
	wall    proto.Timestamp
	boot    proto.Instant
	raw     proto.Raw
	stepped proto.Duration // by ourselves, since the start
	ok      bool
}

// Between two looks the clocks may part by their frequencies, of which
// rateLimit is more than any clock is steered by, and by the time it takes to
// read them one after the other.
const (
	rateLimit  = 1500e-6
	movedLeast = 2 * time.Millisecond
	sleptLeast = 50 * time.Millisecond
)

// NewWatch begins to watch a clock.
func NewWatch(c Clock) *Watch { return newWatch(machineClocks, c) }

func newWatch(src *source, c Clock) *Watch {
	w := &Watch{src: src, c: c}
	w.last = w.read()
	return w
}

// Look compares the clocks with the look before, and reports what happened
// since, if anything did.
func (w *Watch) Look() (engine.Jumped, bool) {
	now, last := w.read(), w.last
	if !now.ok {
		return engine.Jumped{}, false
	}
	w.last = now
	if !last.ok {
		return engine.Jumped{}, false
	}
	elapsed := now.boot.Sub(last.boot)
	slack := time.Duration(float64(elapsed) * rateLimit)
	var ev engine.Jumped
	if by := now.wall.Sub(last.wall) - proto.FromStd(elapsed) - (now.stepped - last.stepped); by.Abs().Std() > movedLeast+slack {
		ev.By = by
	}
	if slept := elapsed - nanoseconds(now.raw-last.raw); slept > sleptLeast+slack {
		ev.Slept = slept
	}
	return ev, ev != engine.Jumped{}
}

// read reads all clocks. A step of our own in between would look like a
// stranger's, so it reads again then.
func (w *Watch) read() reading {
	for range 8 {
		r := reading{stepped: stepped(w.c), boot: w.src.boot(), raw: w.src.raw()}
		wall, err := w.c.Now()
		r.wall, r.ok = wall, err == nil
		if delay := w.src.boot().Sub(r.boot); stepped(w.c) == r.stepped && delay < movedLeast/2 {
			return r
		}
	}
	return reading{}
}

// stepped is the sum of the steps that a clock made because it was told to.
func stepped(c Clock) proto.Duration {
	if c, ok := c.(interface{ Stepped() proto.Duration }); ok {
		return c.Stepped()
	}
	return 0
}
