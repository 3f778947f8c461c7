package engine

import (
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// TestAClockThatJumpsBetweenAnyTwoReadings: whoever moves the clock by a second
// may do so before any of the readings that a start and the first polls are
// made of. Whether or not somebody tells, no delay or deadline is negative and
// the clock is right again within an hour, which a slew may take, without a
// halt. With NTPD_READINGS=all it is every reading, and else every 37th.
func TestAClockThatJumpsBetweenAnyTwoReadings(t *testing.T) {
	const start, enough = 100 * time.Second, time.Hour
	stride := 37
	if os.Getenv("NTPD_READINGS") == "all" {
		stride = 1
	}
	for _, by := range []proto.Duration{proto.Second, -proto.Second} {
		for _, told := range []bool{false, true} {
			readings := 0
			for at := 1; at == 1 || at <= readings; at += stride {
				w := syncedWorld(t, 0)
				readings = 0
				w.read = func() {
					if readings++; readings != at {
						return
					}
					w.wrong += by
					if told {
						w.later(time.Second, Jumped{By: by})
					}
				}
				w.run(start)
				w.read = nil
				w.run(enough)
				if err := recovered(w); err != nil {
					t.Errorf("%v at reading %d of %d, told %v: %v", by, at, readings, told, err)
				}
			}
			if readings < 50 {
				t.Errorf("only %d readings", readings)
			}
		}
	}
	quiet := syncedWorld(t, 0)
	quiet.run(start + enough)
	if err := recovered(quiet); err != nil {
		t.Errorf("without a jump: %v", err)
	}
}

// recovered judges a world some time after something happened to its clock.
func recovered(w *world) error {
	if w.halted || w.wrong.Abs() > proto.Second/1000 || !w.engine.Status(w.now()).Synchronised {
		return fmt.Errorf("halted %v, the clock is off by %v", w.halted, w.wrong)
	}
	steers, _ := all[Steer](w)
	for _, s := range steers {
		a := s.Adjustment
		if a.Step.Abs() > 3*proto.Second || a.For < 0 || math.IsNaN(a.Frequency+a.Slew) || math.Abs(a.Frequency+a.Slew) > 1e-3 {
			return fmt.Errorf("an adjustment of %+v", a)
		}
	}
	snapshots, _ := all[PublishSnapshot](w)
	for _, s := range snapshots {
		if s.Snapshot.RootDelay < 0 || s.Snapshot.RootDispersion < 0 {
			return fmt.Errorf("a snapshot with a negative delay or dispersion: %+v", s.Snapshot)
		}
	}
	return nil
}
