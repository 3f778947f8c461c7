package engine

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Engine is the client side of the daemon. It belongs to one goroutine.
//
// After New, call Advance at once: it starts the sources. From then on call
// Handle for what happens and Advance at Deadline, and carry out the actions
// in order.
type Engine struct {
	cfg        Config
	entropy    io.Reader
	discipline *kalman.Discipline
	sources    []*source
	keyServers []*keyServer
	denied     []refusal        // servers that told us to go away; oldest first
	local      []proto.RefID    // what we are called as a reference; sorted
	sockets    []netip.AddrPort // where this program serves
	saved      State            // as of the last start

	lastExchange ExchangeID
	lastRequest  RequestID
	lastSource   kalman.SourceID

	steering steering
	serving  serving
	caution  caution
	cold     cold
	store    store
	watchdog watchdog
	halted   bool

	// While an event is handled:
	now proto.Now
	out []Action
}

// New makes an engine. entropy must be cryptographically secure: what defends
// an exchange against forgery is drawn from it.
func New(cfg Config, saved State, entropy io.Reader, now proto.Now) *Engine {
	e := &Engine{
		cfg: cfg, entropy: entropy, saved: saved, caution: caution{on: saved.Panicked},
	}
	e.discipline = kalman.New(e.thresholds(cfg.Discipline), kalman.Saved{
		Frequency: saved.Frequency, Sigma: saved.FrequencySigma, AccumulatedSteps: saved.AccumulatedSteps,
	})
	e.serving.due(now.Mono)
	for i, s := range cfg.Sources {
		e.sources = append(e.sources, e.newSource(i, s))
	}
	return e
}

// Advance does what is due, appending what is to be done to out.
func (e *Engine) Advance(now proto.Now, out []Action) []Action {
	if e.halted {
		return out
	}
	e.now, e.out = now, out
	e.settle()
	return e.take()
}

// Handle takes in an event and appends what is to be done to out.
func (e *Engine) Handle(now proto.Now, ev Event, out []Action) []Action {
	if e.halted {
		return out
	}
	e.now, e.out = now, out
	switch ev := ev.(type) {
	case Sent:
		e.sent(ev)
	case SendFailed:
		e.sendFailed(ev)
	case Received:
		e.received(ev)
	case LookedUp:
		e.lookedUp(ev)
	case Located:
		e.located(ev)
	case KeysEstablished:
		e.keysEstablished(ev)
	case Restored:
		e.restore(ev)
	case Ending:
		e.ending()
		return e.take()
	case KeyExchangeFailed:
		e.keyExchangeFailed(ev)
	case Referenced:
		// Reference clocks are not opened, so nothing of theirs can come.
	case ReferenceLost:
	case SteerApplied:
		e.steerApplied(ev)
	case SteerFailed:
		e.steerFailed(ev)
	case Jumped:
		e.jumped(ev)
	case NetworkChanged:
		e.networkChanged(ev)
	case Reconfigured:
		e.reconfigure(ev.Config)
	case Commanded:
		e.commanded(ev)
	}
	e.settle()
	return e.take()
}

func (e *Engine) take() []Action {
	out := e.out
	e.out = nil
	return out
}

func (e *Engine) emit(a Action) { e.out = append(e.out, a) }

// settle brings everything up to date with what is known now.
func (e *Engine) settle() {
	e.warnOfPanic()
	e.poll()
	for _, s := range e.sources {
		s.spawner.work(e, s)
	}
	e.poll() // what the spawners started
	e.judge()
	e.decide()
	e.guard()
	if !e.halted {
		e.serve()
		e.keep()
	}
}

// Deadline is when to call Advance next, unless something happens before.
// After a Halt there is none.
func (e *Engine) Deadline() proto.Instant {
	if e.halted {
		return proto.Never
	}
	d := e.serving.deadline()
	for _, s := range e.sources {
		d = min(d, s.spawner.deadline(s))
		for _, slot := range s.slots {
			if slot.live != nil {
				d = min(d, slot.live.assoc.Deadline())
			}
		}
	}
	return min(d, e.steeringDeadline(), e.watchDeadline(), e.store.deadline())
}

// slots calls f for each slot, in the order of configuration.
func (e *Engine) slots(f func(*source, *slot)) {
	for _, s := range e.sources {
		for _, slot := range s.slots {
			f(s, slot)
		}
	}
}

// lives calls f for each live source, in the order of configuration.
func (e *Engine) lives(f func(*source, *slot, *live)) {
	e.slots(func(s *source, slot *slot) {
		if slot.live != nil {
			f(s, slot, slot.live)
		}
	})
}

// inUse reports whether a live source other than that of except is at an
// address, whatever the port: two sources on one machine are not two opinions.
func (e *Engine) inUse(a netip.Addr, except *slot) bool {
	found := false
	e.lives(func(_ *source, slot *slot, l *live) {
		found = found || slot != except && l.addr.Addr() == a
	})
	return found
}

// inProtectedUse is the same among sources with keys. Those without do not
// count: whoever poisons the name of a pool could else make it take the
// addresses of protected servers, so that these are not used.
func (e *Engine) inProtectedUse(a netip.Addr, except *slot) bool {
	found := false
	e.lives(func(_ *source, slot *slot, l *live) {
		found = found || slot != except && l.assoc.Secure() && l.addr.Addr() == a
	})
	return found
}

// yield ends what a plain pool has at the address of a protected server; it
// finds another.
func (e *Engine) yield(a netip.Addr) {
	e.lives(func(s *source, slot *slot, l *live) {
		if s.cfg.Mode == ModePool && l.addr.Addr() == a {
			e.stop(s, slot, "the same server is asked with keys now")
		}
	})
}

func (e *Engine) request() RequestID {
	e.lastRequest++
	return e.lastRequest
}

// random draws 64 bits.
func (e *Engine) random() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(e.entropy, b[:]); err != nil {
		return 0, fmt.Errorf("engine: no randomness: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// noRandomness stops the daemon: without randomness nothing it would send is
// safe.
func (e *Engine) noRandomness(err error) {
	e.halt(Halt{Reason: err.Error(), Hint: "check that the operating system's random number generator works"})
}
