package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// epoch is the true time when a world begins.
var epoch = proto.FromUnix(1_790_000_000, 0)

const (
	oneWay    = 2 * time.Millisecond
	lookup    = 5 * time.Millisecond
	handshake = 30 * time.Millisecond
)

// world is a shell without a machine: it carries out what an engine wants
// among servers, names and key exchanges that a test makes up. Its time is
// the queue of what happens.
type world struct {
	tb      testing.TB
	engine  *Engine
	mono    proto.Instant
	wrong   proto.Duration // the clock minus the truth
	entropy *rand.ChaCha8
	queue   []due
	hosts   map[netip.AddrPort]*host
	names   map[string]func() ([]netip.Addr, bool)
	srv     func(Locate) Located
	keys    func(ExchangeKeys) Event
	open    map[ExchangeID]netip.AddrPort
	refuses bool          // the clock does
	slow    time.Duration // what the resolver is besides
	acts    time.Duration // how late it says that it acted
	read    func()        // happens before each reading of the clock

	record   bool
	trace    strings.Builder
	json     bytes.Buffer
	actions  []timed
	snapshot Snapshot
	status   ClockStatus
	halted   bool
	spins    int
}

type due struct {
	at proto.Instant
	ev Event
}

type timed struct {
	at proto.Instant
	Action
}

// host is a server.
type host struct {
	responder *server.Responder
	keyset    *cookie.Keyset
	snapshot  server.TimeSnapshot
	wrong     proto.Duration // its clock minus the truth
	down      bool
	edit      func([]byte) []byte // changes replies
	asked     []proto.Instant
	sizes     []int
}

func seed(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func config(sources ...Source) Config {
	limit := proto.Second * 1000
	return Config{
		Sources: sources, LocalStratum: proto.MaxStratum, ReferenceID: proto.RefIDText("XNON"), Steering: true, WarnOnJump: true,
		Discipline: kalman.Config{
			MinimumAgreeing: 1, LocalStratum: proto.MaxStratum,
			SingleStep:  kalman.Threshold{Forward: limit, Backward: limit},
			StartupStep: kalman.Threshold{Forward: proto.MaxDuration, Backward: 86400 * proto.Second},
		},
	}
}

func src(mode Mode, hostname string, count int) Source {
	port := uint16(123)
	if mode == ModeNTS || mode == ModeNTSPool {
		port = 4460
	}
	return Source{Name: hostname, Mode: mode, Host: hostname, Port: port, Count: count, PollMin: 4, PollMax: 10, PollStart: 4}
}

func newWorld(tb testing.TB, cfg Config) *world {
	w := &world{
		tb: tb, mono: proto.Instant(100 * time.Second), entropy: seed(9),
		hosts: map[netip.AddrPort]*host{}, names: map[string]func() ([]netip.Addr, bool){}, open: map[ExchangeID]netip.AddrPort{},
	}
	w.keys = func(ExchangeKeys) Event { return nil }
	w.srv = func(Locate) Located { return Located{} }
	w.engine = New(cfg, State{}, seed(1), w.now())
	return w
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// host adds a server.
func (w *world) host(s string) *host {
	h := &host{
		responder: server.New(server.Config{Versions: server.Version3And4}, seed(2)), keyset: w.keyset(seed(3)),
		snapshot: server.TimeSnapshot{Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, ValidUntil: proto.Never},
	}
	w.hosts[netip.AddrPortFrom(addr(s), 123)] = h
	return h
}

func (w *world) keyset(random io.Reader) *cookie.Keyset {
	k, err := cookie.NewKeyset(random)
	if err != nil {
		w.tb.Fatal(err)
	}
	return k
}

// mute makes servers answer that they do not know the time: enough for what
// is not about time, and nothing for the discipline to think about.
func (w *world) mute() {
	for _, h := range w.hosts {
		h.snapshot.Stratum = proto.MaxStratum
	}
}

// name makes a name resolve.
func (w *world) name(name string, addrs ...string) {
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, addr(a))
	}
	w.names[name] = func() ([]netip.Addr, bool) { return slices.Clone(list), true }
}

// establish is a good answer to a key exchange for a server.
func (w *world) establish(a ExchangeKeys, h *host, name string) KeysEstablished {
	c := cookie.Contents{Algorithm: aead.AESSIVCMAC256, C2S: make([]byte, 32), S2C: make([]byte, 32)}
	w.entropy.Read(c.C2S)
	w.entropy.Read(c.S2C)
	ev := KeysEstablished{Request: a.Request, Server: name, Port: 123, Algorithm: c.Algorithm, C2S: c.C2S, S2C: c.S2C}
	for range 8 {
		nonce := make([]byte, cookie.NonceLen)
		w.entropy.Read(nonce)
		k, err := h.keyset.Seal(nil, c, nonce)
		if err != nil {
			w.tb.Fatal(err)
		}
		ev.Cookies = append(ev.Cookies, k)
	}
	return ev
}

func refused(a ExchangeKeys) Event {
	return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassRefused, Text: "connection refused; check the port"}}
}

func (w *world) truth() proto.Timestamp { return epoch.Add(proto.FromStd(time.Duration(w.mono))) }

// now reads the clock.
func (w *world) now() proto.Now {
	if w.read != nil {
		w.read()
	}
	return proto.Now{Mono: w.mono, Wall: w.truth().Add(w.wrong)}
}

func (w *world) later(d time.Duration, ev Event) {
	at := w.mono.Add(d)
	i, _ := slices.BinarySearchFunc(w.queue, at+1, func(x due, at proto.Instant) int { return int(x.at - at) })
	w.queue = slices.Insert(w.queue, i, due{at, ev})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.tb.Helper()
	for end := w.mono.Add(d); ; {
		next := w.engine.Deadline()
		if len(w.queue) > 0 {
			next = min(next, w.queue[0].at)
		}
		if next > end {
			w.mono = end
			return
		}
		if w.spins++; next > w.mono {
			w.mono, w.spins = next, 0
		}
		if w.spins > 100 {
			w.tb.Fatalf("the engine spins: its deadline stays at %d", next)
		}
		if len(w.queue) > 0 && w.queue[0].at <= w.mono {
			ev := w.queue[0].ev
			w.queue = w.queue[1:]
			w.happen(ev)
			continue
		}
		w.perform(w.engine.Advance(w.now(), nil))
	}
}

// happen hands an event over.
func (w *world) happen(ev Event) {
	if r, ok := ev.(Received); ok {
		if _, open := w.open[r.Exchange]; !open {
			return // the socket is closed
		}
		r.Stamp.At = w.now().Wall
		ev = r
	}
	if s, ok := ev.(Sent); ok && s.Stamp.At == 0 {
		s.Stamp.At = w.now().Wall
		ev = s
	}
	w.write("<-", ev)
	if b, ok := ev.(Received); ok {
		// Only valid during Handle: it is overwritten afterwards.
		b.Payload = bytes.Clone(b.Payload)
		defer clear(b.Payload)
		ev = b
	}
	w.perform(w.engine.Handle(w.now(), ev, nil))
}

func (w *world) perform(actions []Action) {
	w.tb.Helper()
	for _, a := range actions {
		if w.halted {
			w.tb.Fatalf("%T after a Halt", a)
		}
		w.actions = append(w.actions, timed{w.mono, a})
		w.write("->", a)
		switch a := a.(type) {
		case Send:
			if _, again := w.open[a.Exchange]; again || a.Exchange == 0 {
				w.tb.Fatalf("exchange %d is used twice", a.Exchange)
			}
			w.open[a.Exchange] = a.To
			w.send(a)
		case Abandon:
			if _, open := w.open[a.Exchange]; !open {
				w.tb.Fatalf("exchange %d is abandoned but not open", a.Exchange)
			}
			delete(w.open, a.Exchange)
		case Lookup:
			w.lookup(a)
		case Locate:
			ev := w.srv(a)
			ev.Request = a.Request
			w.later(lookup+w.slow, ev)
		case ExchangeKeys:
			if ev := w.keys(a); ev != nil {
				w.later(handshake, ev)
			}
		case Steer:
			w.steer(a)
		case PublishSnapshot:
			w.snapshot = a.Snapshot
		case SetClockStatus:
			w.status = a.Status
		case Halt:
			w.halted = true
		}
	}
}

func (w *world) send(a Send) {
	w.later(10*time.Microsecond, Sent{Exchange: a.Exchange, Stamp: proto.Stamp{Source: proto.StampKernel}})
	h := w.hosts[a.To]
	if h == nil {
		return
	}
	h.asked = append(h.asked, w.mono)
	h.sizes = append(h.sizes, len(a.Payload))
	if h.down {
		return
	}
	there := w.truth().Add(proto.FromStd(oneWay) + h.wrong)
	reply, v := h.responder.Respond(nil, server.Request{
		Payload: a.Payload, From: netip.MustParseAddrPort("198.51.100.1:40000"), To: a.To.Addr(),
		Rx: proto.Stamp{At: there, Source: proto.StampKernel}, Mono: w.mono,
	}, &h.snapshot, h.keyset, func() proto.Timestamp { return there })
	if !v.Answered() {
		return
	}
	if h.edit != nil {
		reply = h.edit(reply)
	}
	w.later(2*oneWay, Received{Exchange: a.Exchange, From: a.To, Payload: reply, Stamp: proto.Stamp{Source: proto.StampKernel}})
}

func (w *world) lookup(a Lookup) {
	ev := LookedUp{Request: a.Request, Failure: Failure{Class: ClassDNS, Text: a.Host + ": no such host; check the name"}}
	if f := w.names[a.Host]; f != nil {
		if addrs, ok := f(); ok {
			ev = LookedUp{Request: a.Request, Addrs: addrs}
		}
	}
	w.later(lookup+w.slow, ev)
}

func (w *world) steer(a Steer) {
	if slices.ContainsFunc(w.queue, func(d due) bool {
		_, applied := d.ev.(SteerApplied)
		return applied
	}) {
		w.tb.Fatal("two adjustments in flight")
	}
	if w.refuses {
		w.later(0, SteerFailed{Steer: a.ID, Failure: Failure{Class: ClassOther, Text: "operation not permitted"}})
		return
	}
	w.wrong += a.Adjustment.Step
	w.later(w.acts, SteerApplied{Steer: a.ID, Applied: kalman.Applied{At: w.now().Wall, Mono: w.mono, Adjustment: a.Adjustment}})
}

// write adds a line to the trace and to the recording.
func (w *world) write(dir string, v any) {
	if w.record {
		line, err := json.Marshal(v)
		if err != nil || bytes.ContainsRune(line, '\n') {
			w.tb.Fatalf("%T: %v: %s", v, err, line)
		}
		fmt.Fprintf(&w.json, "%d %s %T %s\n", w.mono, dir, v, line)
	}
	if s := summary(v); s != "" {
		fmt.Fprintf(&w.trace, "%8.3f %s %s\n", time.Duration(w.mono).Seconds()-100, dir, s)
	}
}

// notes are the codes of the discipline's incidents that a trace leaves out.
var notes = []string{"source-selected", "majority", "no-majority", "clock-step", "clock-slew"}

// summary is a readable line for what matters in a trace.
func summary(v any) string {
	switch v := v.(type) {
	case Send:
		return fmt.Sprintf("Send %d to %v, %d octets", v.Exchange, v.To, len(v.Payload))
	case Abandon:
		return fmt.Sprintf("Abandon %d", v.Exchange)
	case Lookup:
		return fmt.Sprintf("Lookup %d %s", v.Request, v.Host)
	case LookedUp:
		return fmt.Sprintf("LookedUp %d %v%s", v.Request, v.Addrs, v.Failure.Class)
	case Locate:
		return fmt.Sprintf("Locate %d %s", v.Request, v.Domain)
	case Located:
		return fmt.Sprintf("Located %d %v%s", v.Request, v.Records, v.Failure.Class)
	case ExchangeKeys:
		return fmt.Sprintf("ExchangeKeys %d with %s:%d, deny %v", v.Request, v.Host, v.Port, v.Deny)
	case KeysEstablished:
		return fmt.Sprintf("KeysEstablished %d for %s:%d, %d cookies", v.Request, v.Server, v.Port, len(v.Cookies))
	case KeyExchangeFailed:
		return fmt.Sprintf("KeyExchangeFailed %d %s", v.Request, v.Failure.Class)
	case Received:
		return fmt.Sprintf("Received %d, %d octets", v.Exchange, len(v.Payload))
	case Report:
		if v.Incident.Level == Debug || slices.Contains(notes, v.Incident.Code) {
			return ""
		}
		return fmt.Sprintf("Report %s %s", v.Incident.Code, v.Incident.Reason)
	case Halt:
		return "Halt " + v.Reason
	}
	return ""
}

// all returns the actions of a type, with when they were wanted.
func all[A Action](w *world) (found []A, at []proto.Instant) {
	for _, x := range w.actions {
		if a, ok := x.Action.(A); ok {
			found, at = append(found, a), append(at, x.at)
		}
	}
	return found, at
}

// incidents returns the codes that were reported at Info and above, with
// their reasons.
func (w *world) incidents(code string) (found []Incident) {
	reports, _ := all[Report](w)
	for _, r := range reports {
		if r.Incident.Code == code {
			found = append(found, r.Incident)
		}
	}
	return found
}

func (w *world) row(i int) SourceStatus { return w.engine.Status(w.now()).Sources[i] }

// live is the number of rows with a live source.
func (w *world) live() (n int) {
	for _, r := range w.engine.Status(w.now()).Sources {
		if r.ID != 0 {
			n++
		}
	}
	return n
}
