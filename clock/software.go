package clock

import (
	"sync"
	"sync/atomic"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Software is a clock that is disciplined in user space. It counts on
// CLOCK_MONOTONIC_RAW, which nobody can set or slew, and leaves the machine's
// clock alone: it needs no privilege, works in a container, and keeps its time
// whatever happens to CLOCK_REALTIME.
type Software struct {
	src      *source
	drift    float64 // s/s, added to every frequency
	steering sync.Mutex
	stepped  atomic.Int64 // proto.Duration
	line     atomic.Pointer[timeline]
	last     atomic.Pointer[pair]
	status   atomic.Pointer[engine.ClockStatus]
}

// SoftwareOptions let a software clock begin wrong, for demonstrations and
// tests.
type SoftwareOptions struct {
	Offset    proto.Duration // begin this far ahead of CLOCK_REALTIME
	Frequency float64        // s/s; the oscillator runs this fast
}

// NewSoftware starts a software clock at the time of CLOCK_REALTIME.
func NewSoftware(o SoftwareOptions) (*Software, error) { return newSoftware(machine(), o) }

func newSoftware(src *source, o SoftwareOptions) (*Software, error) {
	p, err := src.readPair()
	if err != nil {
		return nil, err
	}
	c := &Software{src: src, drift: o.Frequency}
	c.last.Store(&p)
	c.line.Store(&timeline{segments: []proto.Scale{{Raw: p.raw, At: p.real.Add(o.Offset), Rate: proto.Rate(c.drift)}}})
	return c, nil
}

// timeline is the segments of a clock's time, oldest first, each valid from
// its Raw until the next. The last ones may lie in the future: the end of a
// slew. It does not change after it was published.
type timeline struct{ segments []proto.Scale }

// history is how many segments are kept for stamps from before the last
// adjustments. Each adjustment adds one or two.
const history = 32

// segment is the one that is valid at a raw time; before the first one, the
// first.
func (l *timeline) segment(at proto.Raw) proto.Scale {
	for i := len(l.segments) - 1; i > 0; i-- {
		if l.segments[i].Raw <= at {
			return l.segments[i]
		}
	}
	return l.segments[0]
}

// extend replaces everything from a raw time on by new segments.
func (l *timeline) extend(at proto.Raw, fresh ...proto.Scale) *timeline {
	keep := len(l.segments)
	for keep > 0 && l.segments[keep-1].Raw >= at {
		keep--
	}
	oldest := max(0, keep-history)
	segments := make([]proto.Scale, 0, keep-oldest+len(fresh))
	segments = append(segments, l.segments[oldest:keep]...)
	return &timeline{segments: append(segments, fresh...)}
}

// Now reads the clock.
func (c *Software) Now() (proto.Timestamp, error) {
	raw := c.src.raw()
	return c.line.Load().segment(raw).Time(raw), nil
}

// Scale is the segment that is valid now.
func (c *Software) Scale() proto.Scale { return c.line.Load().segment(c.src.raw()) }

// Convert moves a stamp of CLOCK_REALTIME onto this clock: by a pair of
// CLOCK_REALTIME and the free-running clock to the raw time of the stamp, and
// by the segment that was valid then to this clock's time.
//
// If CLOCK_REALTIME was set since the pair before, the stamp may be from
// before or after. Stamps are converted soon after they were taken, so the
// reading that makes it the more recent one, but not one from the future, is
// the right one.
func (c *Software) Convert(real proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	p, err := c.src.readPair()
	if err != nil {
		return 0, 0, err
	}
	before := c.last.Swap(&p)
	at := p.at(real)
	if wasSet(before, &p) {
		if other := before.at(real); other <= p.raw && (at > p.raw || other > at) {
			at = other
		}
	}
	return c.line.Load().segment(at).Time(at), p.err, nil
}

// Between two pairs CLOCK_REALTIME may have been slewed by the kernel's limit
// of 500 ppm and a tick's worth more; beyond that it was set.
const (
	slewLimit = 1000e-6
	setLeast  = proto.Second / 10000
)

func wasSet(a, b *pair) bool {
	elapsed := proto.FromStd(nanoseconds(b.raw - a.raw))
	moved := (b.real.Sub(a.real) - elapsed).Abs()
	return moved > setLeast+proto.FromSeconds(elapsed.Abs().Seconds()*slewLimit)
}

// Apply carries out an adjustment at once. The slew is a segment of its own,
// so it ends exactly.
func (c *Software) Apply(a kalman.Adjustment) (kalman.Applied, error) {
	c.steering.Lock()
	defer c.steering.Unlock()
	raw := c.src.raw()
	line := c.line.Load()
	at := line.segment(raw).Time(raw).Add(a.Step)
	base := proto.Rate(a.Frequency + c.drift)
	first := proto.Scale{Raw: raw, At: at, Rate: base}
	if a.For <= 0 || a.Slew == 0 {
		a.For, a.Slew = 0, 0
		c.line.Store(line.extend(raw, first))
	} else {
		first.Rate = proto.Rate(a.Frequency + a.Slew + c.drift)
		end := raw + proto.Raw(a.For)
		c.line.Store(line.extend(raw, first, proto.Scale{Raw: end, At: first.Time(end), Rate: base}))
	}
	c.stepped.Add(int64(a.Step))
	return kalman.Applied{At: at, Mono: c.src.boot(), Adjustment: a}, nil
}

// Stepped is the sum of the steps that Apply made.
func (c *Software) Stepped() proto.Duration { return proto.Duration(c.stepped.Load()) }

// SetStatus keeps the status; nobody else has to know.
func (c *Software) SetStatus(s engine.ClockStatus) error {
	c.status.Store(&s)
	return nil
}

// Close ends a slew. The clock then runs on at its base frequency for as long
// as someone reads it.
func (c *Software) Close() error {
	c.steering.Lock()
	defer c.steering.Unlock()
	raw := c.src.raw()
	line := c.line.Load()
	last := line.segments[len(line.segments)-1]
	at := line.segment(raw).Time(raw)
	c.line.Store(line.extend(raw, proto.Scale{Raw: raw, At: at, Rate: last.Rate}))
	return nil
}
