package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// poolOf answers key exchanges as a pool does: with a server that is not
// denied, or an error.
func poolOf(w *world, names ...string) func(ExchangeKeys) Event {
	return func(a ExchangeKeys) Event {
		for _, n := range names {
			if !slices.Contains(a.Deny, n) {
				return w.establish(a, w.hosts[netip.AddrPortFrom(addr(n), 123)], n)
			}
		}
		return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassRemote, Text: "the pool has no server left; lower count"}}
	}
}

func TestNTSPoolFillsItsSlots(t *testing.T) {
	names := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 3)))
	for _, n := range names {
		w.host(n)
	}
	w.keys = poolOf(w, names...)
	w.run(60 * time.Second)
	for i, n := range names {
		if r := w.row(i); r.Addr.Addr() != addr(n) || r.Cookies != 8 || r.Condition != Selected {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	k, _ := all[ExchangeKeys](w)
	for i, want := range [][]string{nil, names[:1], names[:2]} {
		if !slices.Equal(k[i].Deny, want) {
			t.Errorf("exchange %d denies %v, want %v", i, k[i].Deny, want)
		}
	}
	// One dies: the pool is asked for another, not for the same.
	w.hosts[netip.MustParseAddrPort("192.0.2.2:123")].down = true
	w.host("192.0.2.4")
	w.keys = poolOf(w, append(names, "192.0.2.4")...)
	w.run(9 * 1100 * time.Second)
	if r := w.row(1); r.Addr.Addr() != addr("192.0.2.4") || w.live() != 3 {
		t.Errorf("row %+v", r)
	}
}

// A member that answers with NAKs gets new keys from the pool, which may name
// it again; so it is not denied.
func TestNTSPoolMemberWithoutCookieKeys(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 2)))
	w.host("192.0.2.1")
	h := w.host("192.0.2.2")
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
	w.run(200 * time.Second)
	id, poll := w.row(1).ID, time.Second<<w.row(1).Poll
	h.naks(t)
	w.run(4 * poll)
	if r := w.row(1); r.ID != id || r.Addr.Addr() != addr("192.0.2.2") || r.Cookies != 8 {
		t.Errorf("row %+v", r)
	}
	k, _ := all[ExchangeKeys](w)
	if last := k[len(k)-1]; len(k) != 3 || !slices.Equal(last.Deny, []string{"192.0.2.1"}) {
		t.Errorf("%d exchanges, the last denies %v", len(k), last.Deny)
	}
}

func TestNTSPoolWithTooFewServers(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
	w.host("192.0.2.1")
	w.host("192.0.2.2")
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
	w.mute()
	w.run(24 * time.Hour)
	if w.live() != 2 {
		t.Errorf("%d live", w.live())
	}
	k, _ := all[ExchangeKeys](w)
	if len(k) > 2+2*30 {
		t.Errorf("%d exchanges in a day", len(k))
	}
	for _, i := range []int{2, 3} {
		if r := w.row(i); r.Condition != Waiting || r.Reason != Reason(ClassRemote) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	// Two names of one machine are one server.
	w = newWorld(t, config(src(ModeNTSPool, "pool.example", 2)))
	h := w.host("192.0.2.1")
	w.name("a.example", "192.0.2.1")
	w.name("b.example", "192.0.2.1")
	w.keys = func(a ExchangeKeys) Event {
		if slices.Contains(a.Deny, "a.example") {
			return w.establish(a, h, "b.example")
		}
		return w.establish(a, h, "a.example")
	}
	w.run(100 * time.Second)
	if w.live() != 1 || w.row(1).Reason != Reason(ClassProtocol) {
		t.Errorf("%d live, row %+v", w.live(), w.row(1))
	}
}
