package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// forged makes plain replies of a host a DENY, as anyone on the path can who
// sees the plain requests. Protected ones it leaves alone.
func forged(p []byte) []byte {
	if len(p) == proto.HeaderLen {
		p[1] = 0
		copy(p[12:], "DENY")
	}
	return p
}

// RFC 8915 section 5.7: "the client MUST discard unprotected responses to
// NTS-protected requests". A plain DENY for another association with the same
// server does not do what one for this could not, neither to a source that is
// live nor to one that comes later.
func TestPlainDenyDoesNotTouchNTS(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), src(ModeServer, "192.0.2.1", 1), src(ModeNTS, "late.example", 1)))
	h := w.host("192.0.2.1")
	late := true
	w.keys = func(a ExchangeKeys) Event {
		if a.Host == "late.example" && late {
			return refused(a)
		}
		return w.establish(a, h, "192.0.2.1")
	}
	w.run(8 * time.Second)
	id := w.row(0).ID
	h.edit = forged
	w.run(time.Hour)
	if r := w.row(0); r.ID != id || r.Condition != Selected || r.Reach != 255 {
		t.Errorf("row %+v", r)
	}
	if r := w.row(1); r.Condition != Demobilised {
		t.Errorf("row %+v", r)
	}
	late = false
	w.run(2 * time.Hour)
	if r := w.row(2); r.Addr.Addr() != addr("192.0.2.1") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
}

// Nor does what a server says under keys concern those who ask without.
func TestProtectedDenyEndsProtectedAssociations(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), src(ModeServer, "192.0.2.1", 1), src(ModeNTS, "ke2.example", 1)))
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "192.0.2.1") }
	w.run(time.Minute)
	w.engine.now = w.now()
	w.engine.demobilise(netip.MustParseAddrPort("192.0.2.1:123"), true)
	w.perform(w.engine.take())
	w.run(time.Minute)
	for i, live := range []bool{false, true, false} {
		if r := w.row(i); r.ID != 0 != live {
			t.Errorf("row %d: %+v", i, r)
		}
	}
}

// However many servers refuse, what is remembered of them is bounded, and the
// latest are remembered.
func TestRefusalsAreBounded(t *testing.T) {
	w := newWorld(t, config())
	w.engine.now = w.now()
	last := netip.AddrPort{}
	for i := range 3 * maxRefusals {
		last = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 123)
		w.engine.demobilise(last, false)
		w.engine.demobilise(last, false)
	}
	if n := len(w.engine.denied); n != maxRefusals || !w.engine.isDenied(last, false) || w.engine.isDenied(last, true) {
		t.Errorf("%d are remembered", n)
	}
}

// Whoever forged a DENY once does not take a server away for good: it is asked
// again a day later. One that means it sees a packet a day.
func TestRefusalIsForgottenAfterADay(t *testing.T) {
	for _, name := range []string{"192.0.2.1", "time.example"} {
		w := newWorld(t, config(src(ModeServer, name, 1)))
		w.name("time.example", "192.0.2.1")
		h := w.host("192.0.2.1")
		h.edit = forged
		w.run(70 * time.Hour)
		if len(h.asked) != 3 {
			t.Errorf("%s: asked %d times in 70 hours", name, len(h.asked))
		}
		h.edit = nil
		h.snapshot.Stratum = proto.MaxStratum
		w.run(24 * time.Hour)
		if r := w.row(0); r.Reach == 0 || r.Condition != Unusable {
			t.Errorf("%s: row %+v", name, r)
		}
	}
}
