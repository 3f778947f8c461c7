package sim

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"github.com/ntpd-go/ntpd-go/proto/recording"
)

// Reran is what the engine of today would have done with a recorded run.
type Reran struct {
	Lines int
	// Stopped is why it went no further than Lines, empty at the end: the
	// engine asked at other times, or others, and there are no answers.
	Stopped string
	// Apart is how far today's clock and the recorded one were from each other
	// in the second half, s: the largest, and the root of the mean square.
	Apart, ApartRMS float64
	// Result has today's figures, as in Replayed.
	Result *Result
}

// Rerun gives the packets of a recording to the engine of today, and lets it
// steer a clock of its own: the recorded one without the recorded corrections
// and with today's. As long as both ask alike this is what another version of
// the filter would have done. An error names the line.
func Rerun(r io.Reader) (*Reran, error) {
	in, head, cfg, err := openRecording(r)
	if err != nil {
		return nil, err
	}
	p := &rerun{
		in: in, random: &given{left: head.Random}, ids: map[engine.RequestID]engine.RequestID{}, at: head.Now.Mono,
		recorded: drive{frequency: head.Saved.Frequency}, ours: drive{frequency: head.Saved.Frequency},
	}
	p.watch.begin(head.Now)
	p.engine = engine.New(cfg, head.Saved, p.random, head.Now)
	for p.stopped == "" {
		s, err := in.Next()
		if errors.Is(err, io.EOF) || err == nil && s.End != "" {
			break
		}
		if err == nil {
			err = p.step(s)
		}
		if err != nil {
			return nil, err
		}
	}
	out := &Reran{Lines: in.Line(), Stopped: p.stopped, Result: p.watch.result()}
	n := 0.0
	for _, d := range p.apart {
		if d.t >= out.Result.Scenario.StatsFrom {
			out.Apart = max(out.Apart, math.Abs(d.offset))
			out.ApartRMS += float64(d.offset * d.offset)
			n++
		}
	}
	out.ApartRMS = math.Sqrt(out.ApartRMS / max(n, 1))
	return out, nil
}

// rerun is one in motion.
type rerun struct {
	in      *recording.Reader
	engine  *engine.Engine
	random  *given
	watch   watcher
	ids     map[engine.RequestID]engine.RequestID // of today's requests, by the recorded ones
	stopped string

	recorded, ours drive
	at             proto.Instant // until when the difference is known
	difference     float64       // today's clock minus the recorded one, s
	apart          []moment
}

// drive is how a clock is steered.
type drive struct {
	frequency, slew float64
	until           proto.Instant // end of the slew
}

// gains is what the steering adds to the clock from one moment to another, s.
func (d *drive) gains(from, to proto.Instant) float64 {
	s := float64(d.frequency * to.Sub(from).Seconds())
	if end := min(to, d.until); end > from {
		s += float64(d.slew * end.Sub(from).Seconds())
	}
	return s
}

// steer takes an adjustment up at a moment.
func (d *drive) steer(a kalman.Adjustment, at proto.Instant) {
	d.frequency, d.slew, d.until = a.Frequency, a.Slew, at.Add(a.For)
}

// advance brings the difference of the clocks up to a moment.
func (p *rerun) advance(to proto.Instant) {
	if to > p.at {
		p.difference += p.ours.gains(p.at, to) - p.recorded.gains(p.at, to)
		p.at = to
	}
}

// now is a recorded time on today's clock.
func (p *rerun) now(n proto.Now) proto.Now {
	n.Wall = n.Wall.Add(proto.FromSeconds(p.difference))
	return n
}

// step gives a line to the engine and compares what it asks.
func (p *rerun) step(s recording.Step) error {
	p.random.left = append(p.random.left, s.Random...)
	p.advance(s.Now.Mono)
	var did []engine.Action
	if ev := p.translate(s.Event); ev != nil {
		did = p.engine.Handle(p.now(s.Now), ev, nil)
	} else {
		did = p.engine.Advance(p.now(s.Now), nil)
	}
	for i := 0; i < len(did); i++ { // what steering leads to is behind it
		if a, ok := did[i].(engine.Steer); ok {
			p.ours.steer(a.Adjustment, s.Now.Mono)
			p.difference += a.Adjustment.Step.Seconds()
			now := p.now(s.Now)
			did = p.engine.Handle(now, engine.SteerApplied{Steer: a.ID, Applied: kalman.Applied{At: now.Wall, Mono: now.Mono, Adjustment: a.Adjustment}}, did)
		}
	}
	if err := p.match(s.Actions, did); err != nil || p.stopped != "" {
		return err
	}
	if p.random.over > 0 {
		p.stop("it draws randomness that was not drawn")
		return nil
	}
	now := p.now(s.Now)
	p.watch.see(p.engine.Status(now), now, did)
	p.apart = append(p.apart, moment{t: s.Now.Mono.Sub(p.watch.began.Mono).Seconds(), offset: p.difference})
	return nil
}

func (p *rerun) stop(why string) { p.stopped = fmt.Sprintf("line %d: %s", p.in.Line(), why) }

// translate moves an event onto today's clock and requests. Nothing is left of
// how the recorded clock was steered, but on that clock.
func (p *rerun) translate(ev engine.Event) engine.Event {
	by := proto.FromSeconds(p.difference)
	switch ev := ev.(type) {
	case engine.Sent:
		ev.Stamp.At = ev.Stamp.At.Add(by)
		return ev
	case engine.Received:
		ev.Stamp.At = ev.Stamp.At.Add(by)
		return ev
	case engine.SteerApplied:
		p.recorded.steer(ev.Applied.Adjustment, ev.Applied.Mono)
		p.difference -= ev.Applied.Step.Seconds()
		return nil
	case engine.SteerFailed:
		return nil
	case engine.LookedUp:
		ev.Request = p.ids[ev.Request]
		return ev
	case engine.Located:
		ev.Request = p.ids[ev.Request]
		return ev
	case engine.KeysEstablished:
		ev.Request = p.ids[ev.Request]
		return ev
	case engine.KeyExchangeFailed:
		ev.Request = p.ids[ev.Request]
		return ev
	default:
		return ev
	}
}

// match compares what was asked with what is asked, and notes which request
// answers which.
func (p *rerun) match(recorded [][]byte, did []engine.Action) error {
	var was, is []engine.Action
	for _, b := range recorded {
		a, err := recording.DecodeAction(b)
		if err != nil {
			return fmt.Errorf("line %d: %w", p.in.Line(), err)
		}
		if _, asks := question(a); asks {
			was = append(was, a)
		}
	}
	for _, a := range did {
		if _, asks := question(a); asks {
			is = append(is, a)
		}
	}
	for i := range max(len(was), len(is)) {
		if i >= len(was) || i >= len(is) || !p.same(was[i], is[i]) {
			p.stop("it asks at another time, or somebody else, than was recorded")
			return nil
		}
	}
	return nil
}

// same compares two questions but for the numbers of requests.
func (p *rerun) same(was, is engine.Action) bool {
	a, _ := question(was)
	b, _ := question(is)
	p.ids[a] = b
	renumbered := func(v engine.Action) string {
		switch v := v.(type) {
		case engine.Lookup:
			v.Request = 0
			return fmt.Sprintf("%+v", v)
		case engine.Locate:
			v.Request = 0
			return fmt.Sprintf("%+v", v)
		case engine.ExchangeKeys:
			v.Request = 0
			return fmt.Sprintf("%+v", v)
		default:
			return fmt.Sprintf("%+v", v)
		}
	}
	return renumbered(was) == renumbered(is)
}

// question is whether an action asks somebody, and the number of the request.
func question(a engine.Action) (engine.RequestID, bool) {
	switch a := a.(type) {
	case engine.Lookup:
		return a.Request, true
	case engine.Locate:
		return a.Request, true
	case engine.ExchangeKeys:
		return a.Request, true
	case engine.Send:
		return 0, true
	default:
		return 0, false
	}
}
