package clocktest

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"pgregory.net/rapid"
)

// anyPlan adjusts the clock at random and follows it with a model that knows
// only what the clock says it did.
func anyPlan(f *fixture) {
	rapid.Check(f, func(t *rapid.T) {
		w := NewWorld(time.Date(2036, 2, 7, 6, 28, 10, 0, time.UTC))
		c := f.Open(f.T, w)
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		read := func() proto.Timestamp {
			at, err := c.Now()
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		ns := func(label string, lo, hi int64) time.Duration {
			return time.Duration(rapid.Int64Range(lo, hi).Draw(t, label))
		}
		for range rapid.IntRange(1, 20).Draw(t, "adjustments") {
			before := read()
			out, err := c.Apply(kalman.Adjustment{
				Step:      proto.FromStd(ns("step", -1e10, 1e10)),
				Frequency: rapid.Float64Range(-f.Reach, f.Reach).Draw(t, "frequency"),
				Slew:      rapid.Float64Range(-f.Reach, f.Reach).Draw(t, "slew"),
				For:       ns("for", 0, 1e10),
			})
			if err != nil {
				t.Fatal(err)
			}
			if off := out.At.Sub(before) - out.Step; off.Abs() > nanosecond {
				t.Fatalf("stepped by %d units too much", off)
			}
			wait := ns("wait", 0, 2e10)
			w.Advance(wait)
			slewing := min(wait.Seconds(), out.For.Seconds()/(1+out.Frequency+out.Slew))
			want := wait.Seconds()*out.Frequency + slewing*out.Slew
			got := read().Sub(out.At) - proto.FromStd(wait)
			if off := (got - proto.FromSeconds(want)).Abs(); off > 4*nanosecond {
				t.Fatalf("after %v gained %v, want %.9f s (%d units off)", wait, got, want, off)
			}
		}
	})
}
