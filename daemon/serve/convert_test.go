package serve

import (
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// line is a clock that is a function of CLOCK_REALTIME, and counts how often it
// is asked.
type line struct {
	f     func(proto.Timestamp) (proto.Timestamp, error)
	asked int
}

func (c *line) Now() (proto.Timestamp, error) { return 0, errBroken }
func (c *line) Convert(t proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	c.asked++
	at, err := c.f(t)
	return at, 5, err
}

const (
	start0 = proto.Timestamp(0xee000000_00000000)
	micro  = proto.Second / 1_000_000
)

// TestConversions: a batch is converted as its timestamps one by one would be,
// by two conversions where that will do.
func TestConversions(t *testing.T) {
	affine := func(by proto.Duration, rate float64) func(proto.Timestamp) (proto.Timestamp, error) {
		return func(t proto.Timestamp) (proto.Timestamp, error) {
			return t.Add(by + proto.Duration(float64(t.Sub(start0))*rate)), nil
		}
	}
	stepAt := func(at proto.Timestamp, by proto.Duration) func(proto.Timestamp) (proto.Timestamp, error) {
		return func(t proto.Timestamp) (proto.Timestamp, error) {
			if t.Before(at) {
				return t, nil
			}
			return t.Add(by), nil
		}
	}
	var spread, same []proto.Timestamp
	for i := range 32 {
		spread = append(spread, start0.Add(proto.Duration(i*i)*100*micro))
		same = append(same, start0)
	}
	swapped := append([]proto.Timestamp(nil), spread[:8]...)
	swapped[0], swapped[3], swapped[6], swapped[7] = swapped[1], swapped[0], swapped[7], swapped[6]
	backwards := []proto.Timestamp{spread[3], spread[2], spread[1], spread[0]}
	for _, test := range []struct {
		name   string
		f      func(proto.Timestamp) (proto.Timestamp, error)
		stamps []proto.Timestamp
		asked  int
	}{
		{"one", affine(proto.Second, 0), spread[:1], 1},
		{"three", affine(proto.Second, 500e-6), spread[:3], 3},
		{"four", affine(proto.Second, 500e-6), spread[:4], 2},
		{"a batch, fast", affine(-1000*proto.Second, 1000e-6), spread, 2},
		{"a batch, slow", affine(1000*proto.Second, -1000e-6), spread, 2},
		{"the clock itself", affine(0, 0), spread, 2},
		{"out of order", affine(proto.Second, 1000e-6), swapped, 2},
		{"at once", affine(proto.Second, 1000e-6), same, 2 + len(same)},
		{"backwards", affine(proto.Second, 1000e-6), backwards, 2 + len(backwards)},
		{"set forward in between", stepAt(spread[9], proto.Second), spread, 2 + len(spread)},
		{"set back in between", stepAt(spread[9], -proto.Second), spread, 2 + len(spread)},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := &line{f: test.f}
			c := converter{clock: clock}
			c.begin(len(test.stamps), test.stamps[0], test.stamps[len(test.stamps)-1])
			for i, at := range test.stamps {
				got := c.convert(proto.Stamp{At: at, Source: proto.StampKernel, Err: 7})
				want, _ := test.f(at)
				if d := got.At.Sub(want).Abs(); d > 2 || got.Source != proto.StampKernel || got.Err != 12 {
					t.Errorf("%d: %+v, want %v", i, got, want)
				}
			}
			if clock.asked != test.asked {
				t.Errorf("asked %d times, want %d", clock.asked, test.asked)
			}
		})
	}
}

// TestConversionFails: a clock that cannot be read for one end of a batch may
// still be for the others; there is no stamp without it.
func TestConversionFails(t *testing.T) {
	for _, broken := range []int{0, 5, 7} {
		at := func(i int) proto.Timestamp { return start0.Add(proto.Duration(i) * micro) }
		c := converter{clock: &line{f: func(t proto.Timestamp) (proto.Timestamp, error) {
			if t == at(broken) {
				return 0, errBroken
			}
			return t, nil
		}}}
		c.begin(8, at(0), at(7))
		for i := range 8 {
			got := c.convert(proto.Stamp{At: at(i), Source: proto.StampKernel})
			want := at(i)
			if i == broken && broken != 5 { // the fifth is not asked for
				want = 0
			}
			if got.At != want {
				t.Errorf("%d broken: %d is %v, want %v", broken, i, got.At, want)
			}
		}
	}
}
