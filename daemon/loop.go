package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// loop owns the engine. Everything that happens reaches it as an event on one
// channel, and it performs the engine's actions strictly in order.
type loop struct {
	engine *engine.Engine
	clock  clock.Clock
	now    func() (proto.Now, error)
	log    *slog.Logger

	events  chan engine.Event // from look-ups, key exchanges and watchers
	results chan netio.Result // from exchanges
	network *netio.Client
	proxies *netio.Proxies

	exchanges map[engine.ExchangeID]*netio.Exchange
	lookup    func(ctx context.Context, host string, route engine.Route) ([]netip.Addr, error)
	locate    func(ctx context.Context, a engine.Locate) engine.Located
	exchange  func(ctx context.Context, a engine.ExchangeKeys) engine.Event
	publish   func(engine.Snapshot)
	observe   func(engine.Status, proto.Now)
	save      func(engine.State) error
	slewing   func(base float64)     // before a slew begins
	keep      func([]engine.Session) // nil keeps nothing
	tape      *tape                  // nil records nothing

	queue   []engine.Event // answers to actions, handled after all actions of the event before
	actions []engine.Action
}

// halt ends the loop because going on would do harm.
type halt struct{ engine.Halt }

func (h *halt) Error() string {
	if h.Hint == "" {
		return h.Reason
	}
	return fmt.Sprintf("%s (%s)", h.Reason, h.Hint)
}

// newLoop makes a loop around a new engine.
func newLoop(l loop, cfg engine.Config, saved engine.State, entropy io.Reader) (*loop, error) {
	now, err := l.now()
	if err != nil {
		return nil, err
	}
	l.engine = engine.New(cfg, saved, l.tape.entropy(entropy), now)
	l.tape.begin(now, saved)
	l.events = make(chan engine.Event, 16)
	l.results = make(chan netio.Result, 64)
	l.network = netio.NewClient(l.results)
	l.network.Proxies = l.proxies
	l.exchanges = map[engine.ExchangeID]*netio.Exchange{}
	return &l, nil
}

// run turns events into actions until the context ends or the engine halts.
// On return every socket of an exchange is closed.
func (l *loop) run(ctx context.Context) error {
	defer l.closeAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.end(ctx)
		case ev := <-l.events:
			l.queue = append(l.queue, ev)
		case r := <-l.results:
			if ev := l.packet(r); ev != nil {
				l.queue = append(l.queue, ev)
			}
		case <-timer.C:
		}
		now, err := l.turn(ctx)
		if err != nil {
			return err
		}
		timer.Reset(l.engine.Deadline().Sub(now.Mono))
	}
}

// end has the engine keep what is left. What is in flight is lost.
func (l *loop) end(ctx context.Context) error {
	now, err := l.now()
	if err != nil {
		return err
	}
	l.actions = l.engine.Handle(now, engine.Ending{}, l.actions[:0])
	l.tape.step(now, engine.Ending{}, l.actions)
	return l.performAll(ctx)
}

// turn handles what is queued and what is due.
func (l *loop) turn(ctx context.Context) (proto.Now, error) {
	for len(l.queue) > 0 {
		ev := l.queue[0]
		l.queue = l.queue[1:]
		now, err := l.now()
		if err != nil {
			return now, err
		}
		ev = tidy(ev)
		l.actions = l.engine.Handle(now, ev, l.actions[:0])
		l.tape.step(now, ev, l.actions)
		if err := l.performAll(ctx); err != nil {
			return now, err
		}
	}
	now, err := l.now()
	if err != nil {
		return now, err
	}
	if l.engine.Deadline() <= now.Mono {
		l.actions = l.engine.Advance(now, l.actions[:0])
		l.tape.step(now, nil, l.actions)
		if err := l.performAll(ctx); err != nil {
			return now, err
		}
		if len(l.queue) > 0 {
			return l.turn(ctx)
		}
	}
	l.observe(l.engine.Status(now), now)
	return now, nil
}

func (l *loop) performAll(ctx context.Context) error {
	for _, a := range l.actions {
		if err := l.perform(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// packet turns what happened on an exchange's socket into an event, with its
// stamp on the timescale of our clock. Late news of an abandoned exchange is
// dropped.
func (l *loop) packet(r netio.Result) engine.Event {
	if _, ok := l.exchanges[r.Exchange]; !ok {
		return nil
	}
	ev, err := r.Event(l.clock.Convert)
	if err != nil {
		return engine.SendFailed{Exchange: r.Exchange, Failure: engine.Failure{Class: engine.ClassOther, Text: err.Error()}}
	}
	return ev
}

func (l *loop) closeAll() {
	for _, x := range l.exchanges {
		x.Close()
	}
	l.network.Close()
}

// post delivers an event from another goroutine.
func (l *loop) post(ctx context.Context, ev engine.Event) {
	select {
	case l.events <- ev:
	case <-ctx.Done():
	}
}
