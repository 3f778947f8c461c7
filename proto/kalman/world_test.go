package kalman

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// world is a clock that is wrong, servers that are right unless said
// otherwise, and a discipline between them. True time is in seconds.
type world struct {
	t       *testing.T
	d       *Discipline
	rng     *rand.Rand
	now     float64
	epoch   proto.Timestamp
	clock   float64 // clock minus true time, s
	drift   float64 // of the oscillator, s/s
	base    float64 // frequency asked for
	slew    float64
	slewEnd float64 // on the clock, s since epoch
	servers []*server
	halt    *Halt
	notes   []Note
	steps   []float64
	refuse  bool
	retry   float64
	slews   int
	alter   func(*Adjustment) // the clock does something else
}

type server struct {
	id     SourceID
	offset float64
	delay  float64 // one way
	jitter float64
	dead   bool
	poll   float64
	next   float64
	edit   func(*Exchange)
}

func newWorld(t *testing.T, offset, drift float64) *world {
	return newWorldWith(t, offset, drift, Config{MinimumAgreeing: 1, SingleStep: forever, StartupStep: forever})
}

func newWorldWith(t *testing.T, offset, drift float64, cfg Config) *world {
	return &world{t: t, d: New(cfg, Saved{}),
		rng: rand.New(rand.NewPCG(1, 2)), clock: offset, drift: drift, epoch: proto.FromUnix(1.79e9, 0)}
}

var forever = Threshold{proto.MaxDuration, proto.MaxDuration}

func (w *world) add(n int, s server) {
	for range n {
		c := s
		c.id = SourceID(len(w.servers) + 1)
		w.servers = append(w.servers, &c)
		w.d.Add(c.id, SourceConfig{PollMin: 4, PollMax: 10, PollStart: 4, Voting: true})
	}
}

func (w *world) wall() proto.Timestamp { return w.epoch.Add(proto.FromSeconds(w.now + w.clock)) }
func (w *world) time() proto.Now       { return proto.Now{Mono: proto.Instant(w.now * 1e9), Wall: w.wall()} }

// advance runs the clock to a true time, ending a slew on the way.
func (w *world) advance(to float64) {
	for w.now < to {
		step := to - w.now
		rate := w.base
		if left := w.slewEnd - (w.now + w.clock); w.slew != 0 && left > 1e-9 {
			rate += w.slew
			step = min(step, left/((1+w.drift)*(1+rate)))
		} else {
			w.slew = 0
		}
		w.clock += step * ((1+w.drift)*(1+rate) - 1)
		w.now += step
	}
}

func (w *world) decide() {
	if w.now < w.retry {
		return
	}
	for range 5 {
		out := w.d.Decide(w.time())
		w.notes = append(w.notes, out.Notes...)
		if out.Halt != nil {
			w.halt = out.Halt
			return
		}
		if out.Steer == nil {
			return
		}
		a := *out.Steer
		if w.refuse {
			w.d.SteerFailed(w.time())
			w.retry = w.now + 16
			return
		}
		if w.alter != nil {
			w.alter(&a)
		}
		w.base = math.Round(a.Frequency*1e6*65536) / 65536e6
		a.Frequency = w.base
		if a.Slew != 0 {
			w.slews++
		}
		w.slew = a.Slew
		w.clock += a.Step.Seconds()
		if a.Step != 0 {
			w.steps = append(w.steps, a.Step.Seconds())
		}
		w.slewEnd = w.now + w.clock + a.For.Seconds()
		w.d.Applied(Applied{At: w.wall(), Mono: w.time().Mono, Adjustment: a})
	}
}

func (w *world) exchange(s *server) {
	up := s.delay + s.jitter*w.rng.ExpFloat64()
	down := s.delay + s.jitter*w.rng.ExpFloat64()
	t1 := w.wall()
	w.advance(w.now + up)
	t2 := w.epoch.Add(proto.FromSeconds(w.now + s.offset))
	w.advance(w.now + down)
	e := Exchange{T1: proto.Stamp{At: t1}, T2: t2, T3: t2, T4: proto.Stamp{At: w.wall()}, Precision: -23, Stratum: 1}
	if s.edit != nil {
		s.edit(&e)
	}
	w.d.Reachable(s.id, true)
	w.d.Observe(w.time(), s.id, e)
	w.decide()
}

// run goes on until a true time; watch sees the world every second.
func (w *world) run(until float64, watch func()) {
	w.decide()
	second := math.Ceil(w.now)
	for w.now < until && w.halt == nil {
		var due *server
		for _, s := range w.servers {
			if w.d.Urgent(s.id) && s.next > w.now+2 {
				s.next = w.now + 2
			}
			if due == nil || s.next < due.next {
				due = s
			}
		}
		at := min(second, until)
		if deadline := w.d.Deadline(); deadline != proto.Never {
			at = min(at, max(float64(deadline)/1e9, w.now, w.retry))
		}
		if due != nil && due.next <= at {
			w.advance(due.next)
			if due.dead {
				w.d.Reachable(due.id, false)
			} else {
				w.exchange(due)
			}
			est := w.d.Source(w.time(), due.id)
			interval := math.Ldexp(1, int(est.Poll))
			if due.poll > 0 {
				interval = due.poll
			}
			if est.Soon {
				interval = soonInterval.Seconds()
			}
			due.next = max(due.next+interval, w.now)
			continue
		}
		w.advance(at)
		w.decide()
		if at == second {
			second++
			if watch != nil {
				watch()
			}
		}
	}
}

func TestConverges(t *testing.T) {
	for _, offset := range []float64{0.25, -0.25, 0.005, -0.005, 1e9, -3e8} {
		for _, drift := range []float64{30e-6, -30e-6, 200e-6} {
			w := newWorld(t, offset, drift)
			w.add(1, server{delay: 30e-6, jitter: 20e-6})
			inside := 0.0
			worst := 0.0
			w.run(300, func() {
				if math.Abs(w.clock) > 1e-3 {
					inside = w.now
				} else if w.now > 40 {
					worst = max(worst, math.Abs(w.clock))
				}
			})
			t.Logf("offset %g drift %g: 1 ms after %.0f s, then at most %.0f µs, steps %v", offset, drift, inside, worst*1e6, w.steps)
			if inside > 25 {
				t.Errorf("offset %g drift %g: outside 1 ms at %.0f s", offset, drift, inside)
			}
			if len(w.steps) > 1 {
				t.Errorf("offset %g drift %g: steps %v, want one at most", offset, drift, w.steps)
			}
		}
	}
}
