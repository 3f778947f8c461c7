package serve

import "github.com/ntpd-go/ntpd-go/proto"

// converter moves the receive timestamps of one batch from CLOCK_REALTIME onto
// the clock that is served. For a clock that is not CLOCK_REALTIME a conversion
// reads several clocks, which costs as much as answering. So only the first and
// the last timestamp are converted, and those in between by their place between
// the two.
//
// That is right as long as neither clock was set in between, which shows: the
// two would have moved differently. Each timestamp is then converted by itself.
type converter struct {
	clock       Clock
	first, last conversion
	straight    bool // between first and last
}

// conversion is a timestamp on both clocks.
type conversion struct {
	real, served proto.Timestamp
	err          proto.Duration // that converting adds
	failed       bool
}

func (c *converter) one(real proto.Timestamp) conversion {
	served, more, err := c.clock.Convert(real)
	return conversion{real, served, more, err != nil}
}

// Between two timestamps of a batch the clocks may run differently by what a
// slew does, and by the error of converting; more is a clock that was set.
const (
	fewest    = 4                        // timestamps for which two conversions pay
	slewLimit = 1.0 / 512                // of the time between
	setLeast  = proto.Second / 1_000_000 // besides
)

// begin prepares for a batch of n timestamps, the first and the last of which
// are given.
func (c *converter) begin(n int, first, last proto.Timestamp) {
	if c.straight = n >= fewest; !c.straight {
		return
	}
	c.first, c.last = c.one(first), c.one(last)
	span := last.Sub(first)
	bend := (c.last.served.Sub(c.first.served) - span).Abs()
	c.straight = !c.first.failed && !c.last.failed && span > 0 && bend <= setLeast+proto.Duration(float64(span)*slewLimit)
}

// convert moves a receive timestamp. A zero stamp means that the clock could not
// be read.
func (c *converter) convert(s proto.Stamp) proto.Stamp {
	if !c.straight {
		x := c.one(s.At)
		if x.failed {
			return proto.Stamp{}
		}
		s.At, s.Err = x.served, s.Err+x.err
		return s
	}
	since, span := s.At.Sub(c.first.real), c.last.real.Sub(c.first.real)
	bend := c.last.served.Sub(c.first.served) - span
	s.At = c.first.served.Add(since + proto.Duration(float64(bend)*(float64(since)/float64(span))))
	s.Err += max(c.first.err, c.last.err)
	return s
}
