package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Stamps may be wrong twice in a row by more than an oscillator can go astray;
// a third one is believed.
func TestHowOftenTheImpossibleIsDisbelieved(t *testing.T) {
	for _, tt := range []struct {
		offset float64
		times  int
		moves  bool
	}{
		{0.050, 2, false}, {-0.050, 2, false}, {0.050, 3, true}, {0.003, 1, false}, {0.003, 2, true},
		{200e-6, 1, true}, // a change of frequency by 3 ppm does that in 64 s
	} {
		w := newWorld(t, 0, 2e-5)
		w.add(1, server{delay: 1e-3, jitter: 5e-6, poll: 64})
		w.d.Add(1, SourceConfig{PollMin: 6, PollMax: 6, PollStart: 6, Voting: true})
		w.run(3600, nil)
		s := w.servers[0]
		s.edit = func(e *Exchange) {
			e.T2, e.T3 = e.T2.Add(proto.FromSeconds(tt.offset)), e.T3.Add(proto.FromSeconds(tt.offset))
		}
		for range tt.times {
			w.advance(w.now + 64)
			w.exchange(s)
		}
		w.advance(w.now + 60)
		if moved := math.Abs(w.clock) > math.Abs(tt.offset)/2; moved != tt.moves {
			t.Errorf("wrong by %v s %d times: the clock went to %v s", tt.offset, tt.times, w.clock)
		}
	}
}
