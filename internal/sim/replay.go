package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/recording"
)

// Replayed is what became of a recorded run of the daemon.
type Replayed struct {
	Program string // that made the recording
	Lines   int    // that were replayed
	End     string // why the recording ended; empty when it was cut off
	// Differs is where the engine of today first did something else, nil
	// where the two are identical.
	Differs *Difference
	// Result has the figures of the run. Nobody knows the true time: errors
	// are by the engine's own estimate, in the second half of the run.
	Result *Result
}

// Difference is a line whose replay is not what was recorded.
type Difference struct {
	Line               int
	Recorded, Replayed string // an action each, or what else differs; empty for none
}

func (d *Difference) String() string {
	show := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return s
	}
	return fmt.Sprintf("line %d: recorded %s, replayed %s", d.Line, show(d.Recorded), show(d.Replayed))
}

// Replay feeds a recording to a new engine, made of the same ntp.toml by the
// same constructor as the daemon's, and compares what it does. After the first
// difference the recorded answers fit what the engine does no longer, and
// Replay ends there. An error names the line; what was replayed before it is
// returned too, unless it is the first.
func Replay(r io.Reader) (*Replayed, error) {
	in, head, cfg, err := openRecording(r)
	if err != nil {
		return nil, err
	}
	p := &replay{in: in, random: &given{}, out: &Replayed{Program: head.Program, Lines: 1}}
	p.watch.begin(head.Now)
	p.random.left = head.Random
	p.engine = engine.New(cfg, head.Saved, p.random, head.Now)
	if p.random.strays() {
		p.out.Differs = &Difference{Line: 1, Recorded: "another number of random octets", Replayed: p.random.String()}
	}
	for p.out.Differs == nil {
		step, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.out.Result = p.watch.result()
			return p.out, err
		}
		p.out.Lines = in.Line()
		if step.End != "" {
			p.out.End = step.End
			continue
		}
		if err := p.step(step); err != nil {
			p.out.Result = p.watch.result()
			return p.out, err
		}
	}
	p.out.Result = p.watch.result()
	return p.out, nil
}

// openRecording reads how a recording begins, and makes the engine's
// configuration as the daemon did.
func openRecording(r io.Reader) (*recording.Reader, recording.Head, engine.Config, error) {
	in, head, err := recording.NewReader(r)
	if err != nil {
		return nil, head, engine.Config{}, err
	}
	cfg, err := build(head.Config)
	if err != nil {
		return nil, head, cfg, fmt.Errorf("line 1: %w", err)
	}
	return in, head, cfg, nil
}

// replay is one in motion.
type replay struct {
	in      *recording.Reader
	engine  *engine.Engine
	random  *given
	actions []engine.Action
	watch   watcher
	out     *Replayed
}

// step replays a line.
func (p *replay) step(s recording.Step) error {
	p.random.left, p.random.over = s.Random, 0
	if s.Event == nil {
		p.actions = p.engine.Advance(s.Now, p.actions[:0])
	} else {
		p.actions = p.engine.Handle(s.Now, s.Event, p.actions[:0])
	}
	if err := p.compare(s.Actions); err != nil {
		return err
	}
	if p.out.Differs == nil && p.random.strays() {
		p.out.Differs = &Difference{Line: p.in.Line(), Recorded: fmt.Sprintf("%d random octets", len(s.Random)), Replayed: p.random.String()}
	}
	if p.out.Differs == nil {
		p.watch.see(p.engine.Status(s.Now), s.Now, p.actions)
	}
	return nil
}

// compare finds the first action that is not the recorded one.
func (p *replay) compare(recorded [][]byte) error {
	for i := range max(len(recorded), len(p.actions)) {
		var was, is []byte
		if i < len(recorded) {
			a, err := recording.DecodeAction(recorded[i])
			if err != nil {
				return fmt.Errorf("line %d: %w", p.in.Line(), err)
			}
			// As this program writes it, whatever wrote it first.
			if was, err = recording.Action(a); err != nil {
				return fmt.Errorf("line %d: %w", p.in.Line(), err)
			}
		}
		if i < len(p.actions) {
			var err error
			if is, err = recording.Action(p.actions[i]); err != nil {
				return fmt.Errorf("line %d: %w", p.in.Line(), err)
			}
		}
		if !bytes.Equal(was, is) {
			p.out.Differs = &Difference{Line: p.in.Line(), Recorded: string(was), Replayed: string(is)}
			return nil
		}
	}
	return nil
}

// given hands out the random octets of a line.
type given struct {
	left []byte
	over int // octets that were asked for beyond those
}

func (g *given) Read(p []byte) (int, error) {
	n := copy(p, g.left)
	g.left = g.left[n:]
	for i := range p[n:] { // whoever draws again until it suits comes to an end
		g.over++
		p[n+i] = byte(g.over)
	}
	return len(p), nil
}

// strays says that another number of octets was drawn than recorded.
func (g *given) strays() bool { return g.over > 0 || len(g.left) > 0 }

func (g *given) String() string {
	if g.over > 0 {
		return fmt.Sprintf("%d more", g.over)
	}
	return fmt.Sprintf("%d fewer", len(g.left))
}

// watcher makes the figures of a run whose true time nobody knows.
type watcher struct {
	began, now proto.Now
	seen       []moment
	steps      int
	sends      []float64
	halted     string
	sources    int
	incidents  []Incident
}

// moment is how the clock stood at one time.
type moment struct {
	t, offset, bound float64
	known            bool
}

func (w *watcher) begin(now proto.Now) { w.began, w.now = now, now }

func (w *watcher) see(st engine.Status, now proto.Now, actions []engine.Action) {
	w.now = now
	t := now.Mono.Sub(w.began.Mono).Seconds()
	w.sources = max(w.sources, len(st.Sources))
	for _, a := range actions {
		switch a := a.(type) {
		case engine.Send:
			w.sends = append(w.sends, t)
		case engine.Steer:
			if a.Adjustment.Step != 0 {
				w.steps++
			}
		case engine.Report:
			w.incidents = append(w.incidents, Incident{t, a.Incident})
		case engine.Halt:
			w.halted = a.Reason
		}
	}
	m := moment{t: t, offset: -st.Offset.Seconds(), bound: math.Inf(1), known: st.Synchronised}
	if v := &st.Snapshot; v.Stratum > 0 && v.Stratum < proto.MaxStratum {
		m.bound = v.RootDelay.Seconds()/2 + v.RootDispersion.Seconds() + float64(v.DispersionRate*now.Mono.Sub(v.Mono).Seconds())
	}
	w.seen = append(w.seen, m)
}

// result pools what was seen, as Run does for a simulated clock.
func (w *watcher) result() *Result {
	end := w.now.Mono.Sub(w.began.Mono).Seconds()
	s := &Scenario{Name: "recording", Duration: end, StatsFrom: end / 2}
	r := &Result{Scenario: s, Steps: w.steps, Steered: w.steps > 0, Halt: w.halted, Incidents: w.incidents}
	reach1, reach100 := reacher{limit: 1e-3}, reacher{limit: 100e-6}
	var g gauge
	for _, m := range w.seen {
		if !m.known {
			continue
		}
		reach1.see(m.t, m.offset)
		reach100.see(m.t, m.offset)
		r.Final = m.offset
		if m.t >= s.StatsFrom {
			g.take(m.offset, m.bound)
		}
	}
	g.result(r)
	r.To1ms, r.To100us = reach1.time(), reach100.time()
	for _, t := range w.sends {
		if t >= s.StatsFrom && w.sources > 0 && end > 0 {
			r.Polls += 3600 / float64(w.sources) / (end - s.StatsFrom)
		}
	}
	return r
}
