package sim

import (
	"container/heap"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// world is a scenario in motion: one node with the engine, and its servers.
type world struct {
	scenario *Scenario
	address  netip.Addr // of the node
	peer     *neighbour // the other node, if there is one
	clock    *steered
	engine   *engine.Engine
	servers  []*responder
	stamps   random
	queue    queue
	seq      uint64
	actions  []engine.Action
	events   []engine.Event // that happened and were not handed over yet
	todo     int            // next scripted event
	open     map[engine.ExchangeID]bool

	// What happened.
	halted    *engine.Halt
	incidents []Incident
	snapshot  engine.Snapshot
	steps     int
	steered   bool // the clock was corrected
	saved     engine.State
	trace     func(format string, args ...any) // nil without tracing

	second float64 // when the world is looked at next
	watch  func()  // looks
	over   bool

	// What tests look at and put in the place of.
	tape   func(proto.Now, engine.Event, []engine.Action)           // sees what the engine is told and does
	keys   func(engine.ExchangeKeys) engine.Event                   // exchanges keys; nil fails
	secure func(i int, at proto.Timestamp, request []byte) [][]byte // answers requests with extension fields
}

// Incident is one that the engine reported, with the true time.
type Incident struct {
	T float64
	engine.Incident
}

// arrival is a datagram on its way, or something else that is due.
type arrival struct {
	at   float64
	seq  uint64
	what func()
}

type queue []arrival

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || (q[i].at == q[j].at && q[i].seq < q[j].seq)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(arrival)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// someDay is the Unix time at which scenarios begin that do not say.
const someDay = 1_790_000_000

// port of the servers, 10.1.x.y:123 each.
const port = 123

// nodeAddress is that of the node under test.
var nodeAddress = netip.AddrFrom4([4]byte{10, 0, 0, 1})

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i + 1)}) }

func newWorld(s *Scenario, seed uint64, cfg engine.Config) *world {
	epoch := proto.FromUnix(someDay, 0)
	if s.Epoch != 0 {
		epoch = proto.FromUnix(s.Epoch, 0)
	}
	w := &world{
		scenario: s, address: nodeAddress, stamps: newRandom(seed, "stamps"), open: map[engine.ExchangeID]bool{},
		clock: newSteered(s.Clock, epoch, newRandom(seed, "clock")),
	}
	for i := range s.Servers {
		m := &s.Servers[i]
		name := fmt.Sprintf("server %d", i)
		r := &responder{
			model: m, epoch: epoch, rng: newRandom(seed, name), node: w,
			up:   path{model: &m.Up, rng: newRandom(seed, name+" up")},
			down: path{model: &m.Down, rng: newRandom(seed, name+" down")},
		}
		if m.Clock != nil {
			r.clock = newSteered(*m.Clock, epoch, newRandom(seed, name+" clock"))
		}
		w.servers = append(w.servers, r)
	}
	var state engine.State
	if s.SavedDrift != nil {
		state.Frequency, state.FrequencySigma = *s.SavedDrift, 1e-6
		w.clock.base = quantised(*s.SavedDrift)
	}
	w.engine = engine.New(cfg, state, newRandom(seed, "entropy"), w.clock.now())
	return w
}

// run goes on to the end; each second watch sees the world.
func (w *world) run(watch func()) {
	w.begin(watch)
	for !w.over {
		w.step()
	}
}

// begin starts the node.
func (w *world) begin(watch func()) {
	w.watch = watch
	w.advance()
	w.handle(engine.NetworkChanged{Local: []netip.Addr{w.address}})
}

// next is when something happens next, and what: in this order where several
// things do at once.
func (w *world) next() (at float64, what happening) {
	event, script := math.Inf(1), math.Inf(1)
	if len(w.queue) > 0 {
		event = w.queue[0].at
	}
	if w.todo < len(w.scenario.Events) {
		script = w.scenario.Events[w.todo].At
	}
	due := w.clock.when(w.engine.Deadline())
	switch at = min(w.second, due, event, script); at {
	case w.second:
		return at, aSecond
	case script:
		return at, aScript
	case event:
		return at, anArrival
	default:
		return at, aDeadline
	}
}

// happening is what moves a world on.
type happening uint8

const (
	aSecond happening = iota
	aScript
	anArrival
	aDeadline
)

// step lets the next thing happen.
func (w *world) step() {
	at, what := w.next()
	w.clock.advance(at)
	switch what {
	case aSecond:
		if w.watch != nil {
			w.watch()
		}
		w.second++
		w.over = w.second > w.scenario.Duration || w.halted != nil
	case aScript:
		w.happen(w.scenario.Events[w.todo])
		w.todo++
	case anArrival:
		heap.Pop(&w.queue).(arrival).what()
	case aDeadline:
		if now := w.clock.now(); now.Mono >= w.engine.Deadline() {
			w.advance()
		}
	}
}

func (w *world) later(at float64, what func()) {
	w.seq++
	heap.Push(&w.queue, arrival{at, w.seq, what})
}

// handle gives the engine an event and carries out what it wants.
func (w *world) handle(ev engine.Event) {
	w.events = append(w.events, ev)
	w.pump()
}

// pump hands over what happened, in order, until nothing more follows.
func (w *world) pump() {
	for len(w.events) > 0 && w.halted == nil {
		ev := w.events[0]
		w.events = w.events[1:]
		now := w.clock.now()
		w.actions = w.engine.Handle(now, ev, w.actions[:0])
		if w.tape != nil {
			w.tape(now, ev, w.actions)
		}
		w.perform(w.actions)
	}
}

// advance lets the engine do what is due.
func (w *world) advance() {
	now := w.clock.now()
	w.actions = w.engine.Advance(now, w.actions[:0])
	if w.tape != nil {
		w.tape(now, nil, w.actions)
	}
	w.perform(w.actions)
	w.pump()
}

// perform carries out actions. What comes of them at once is put into events.
func (w *world) perform(actions []engine.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case engine.Send:
			w.send(a)
		case engine.Abandon:
			delete(w.open, a.Exchange)
		case engine.Steer:
			w.steer(a)
		case engine.PublishSnapshot:
			w.snapshot = a.Snapshot
		case engine.Save:
			w.saved = a.State
		case engine.Report:
			w.incidents = append(w.incidents, Incident{w.clock.t, a.Incident})
			if w.trace != nil {
				w.trace("%.3f %s source %d %s (error %+.1f µs)", w.clock.t, a.Incident.Code, a.Incident.Source, a.Incident.Text, w.clock.err*1e6)
			}
		case engine.Halt:
			w.halted = &a
		case engine.Lookup:
			w.emit(engine.LookedUp{Request: a.Request, Failure: engine.Failure{Class: engine.ClassDNS, Text: "there are no names here"}})
		case engine.Locate:
			w.emit(engine.Located{Request: a.Request, Failure: engine.Failure{Class: engine.ClassDNS, Text: "there are no names here"}})
		case engine.ExchangeKeys:
			if w.keys != nil {
				w.emit(w.keys(a))
				continue
			}
			w.emit(engine.KeyExchangeFailed{Request: a.Request, Failure: engine.Failure{Class: engine.ClassRefused, Text: "there are no keys here"}})
		}
	}
}

func (w *world) steer(a engine.Steer) {
	applied := w.clock.apply(a.Adjustment)
	if applied.Step != 0 {
		w.steps++
	}
	w.steered = w.steered || applied.Step != 0 || applied.Slew != 0
	if w.trace != nil {
		w.trace("%.3f steer step %v frequency %.4f ppm slew %.4f ppm for %v", w.clock.t, applied.Step, applied.Frequency*1e6, applied.Slew*1e6, applied.For)
	}
	w.emit(engine.SteerApplied{Steer: a.ID, Applied: applied})
}

func (w *world) emit(ev engine.Event) { w.events = append(w.events, ev) }

// stamp reads the clock as the network stack does.
func (w *world) stamp() proto.Stamp {
	s := proto.Stamp{At: w.clock.read(), Source: proto.StampKernel}
	if n := w.scenario.StampNoise; n > 0 {
		s.At = s.At.Add(proto.FromSeconds(n * w.stamps.normal()))
	}
	return s
}

func (w *world) send(a engine.Send) {
	i := w.server(a.To)
	if i < 0 {
		w.emit(engine.SendFailed{Exchange: a.Exchange, Failure: engine.Failure{Class: engine.ClassNetwork, Text: "no such host"}})
		return
	}
	w.open[a.Exchange] = true
	s, t := w.servers[i], w.clock.t
	if t >= w.scenario.StatsFrom {
		s.polls++
	}
	request := append([]byte(nil), a.Payload...)
	w.carry(&s.up, t, func() {
		for _, reply := range w.answers(i, request) {
			w.carry(&s.down, w.clock.t, func() { w.arrive(a, reply) })
		}
	})
	w.emit(engine.Sent{Exchange: a.Exchange, Stamp: w.stamp()})
}

// answers are what a server replies to a request that arrives now.
func (w *world) answers(i int, request []byte) [][]byte {
	if w.secure != nil && len(request) > proto.HeaderLen {
		return w.secure(i, w.servers[i].epoch.Add(proto.FromSeconds(w.clock.t)), request)
	}
	if w.servers[i].model.Peer {
		return w.peer.answer(w.clock.t, w.address, request)
	}
	if reply := w.servers[i].answer(w.clock.t, request); reply != nil {
		return [][]byte{reply}
	}
	return nil
}

// carry takes a packet over a path, unless it is lost.
func (w *world) carry(p *path, t float64, deliver func()) {
	if d, ok := p.delay(t); ok {
		w.later(t+d, deliver)
	}
	if p.model.Duplicate > 0 && p.rng.Float64() < p.model.Duplicate {
		if d, ok := p.delay(t); ok {
			w.later(t+d, deliver)
		}
	}
}

func (w *world) arrive(a engine.Send, reply []byte) {
	if w.open[a.Exchange] {
		w.handle(engine.Received{Exchange: a.Exchange, From: a.To, Payload: reply, Stamp: w.stamp()})
	}
}

func (w *world) server(a netip.AddrPort) int {
	for i, s := range w.servers {
		at := address(i)
		if s.model.Peer {
			at = w.peer.address
		}
		if netip.AddrPortFrom(at, port) == a {
			return i
		}
	}
	return -1
}

// happen carries out a scripted event.
func (w *world) happen(e Event) {
	switch e.Kind {
	case "step":
		w.clock.err += e.By
		w.clock.moved += e.By
		w.handle(engine.Jumped{By: proto.FromSeconds(e.By)})
	case "leap":
		// True time repeats a second: everything else is a second ahead of it.
		w.clock.epoch = w.clock.epoch.Add(-proto.Second)
		for _, s := range w.servers {
			s.epoch = s.epoch.Add(-proto.Second)
			s.leap = true
		}
		w.handle(engine.Jumped{By: -proto.Second})
	case "suspend":
		w.clock.err += e.By // the hardware clock that bridged the sleep was off
		w.clock.moved += e.By
		w.handle(engine.Jumped{By: proto.FromSeconds(e.By), Slept: time.Hour})
	}
}
