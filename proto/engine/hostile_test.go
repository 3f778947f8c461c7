package engine

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"pgregory.net/rapid"
)

// unlimited is a configuration that takes any step, as with panic thresholds
// of "inf".
func unlimited(sources ...Source) Config {
	cfg := config(sources...)
	d := &cfg.Discipline
	d.SingleStep.Forward, d.SingleStep.Backward = proto.MaxDuration, proto.MaxDuration
	d.StartupStep, d.AccumulatedSteps = d.SingleStep, 0
	return cfg
}

// A server that may say what it likes, to a client that follows it anywhere:
// the clock goes where it is told, but nothing crashes, overflows or spins, and
// every value that leaves the engine is one.
func TestHostileServerWithoutLimits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, unlimited(src(ModeServer, "192.0.2.1", 1)))
		h := w.host("192.0.2.1")
		word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1 << 31, 1 << 63, 1<<63 - 1, math.MaxUint64, uint64(epoch), uint64(epoch) ^ 1<<63}))
		shift := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1<<40, 1<<40))
		h.edit = func(p []byte) []byte {
			switch rapid.IntRange(0, 5).Draw(rt, "lie") {
			case 0: // any times
				binary.BigEndian.PutUint64(p[32:], word.Draw(rt, "receive"))
				binary.BigEndian.PutUint64(p[40:], word.Draw(rt, "transmit"))
			case 1, 2: // consistent times, far away
				d := uint64(shift.Draw(rt, "shift"))
				binary.BigEndian.PutUint64(p[32:], binary.BigEndian.Uint64(p[32:])+d)
				binary.BigEndian.PutUint64(p[40:], binary.BigEndian.Uint64(p[40:])+d)
			case 3: // any header but mode and origin
				p[0] = p[0]&0x3f | byte(rapid.IntRange(0, 3).Draw(rt, "leap"))<<6
				copy(p[1:4], rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(rt, "stratum, poll, precision"))
				copy(p[4:16], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(rt, "root"))
			}
			return p
		}
		for range 12 {
			w.run(time.Duration(rapid.IntRange(1, 100).Draw(rt, "s")) * time.Second)
			sound(rt, w)
		}
		if w.halted {
			rt.Fatal("stopped although nothing is limited")
		}
	})
}

// sound checks what leaves the engine.
func sound(t *rapid.T, w *world) {
	finite := func(what string, f float64, limit float64) {
		if !(math.Abs(f) <= limit) {
			t.Fatalf("%s is %v", what, f)
		}
	}
	for _, x := range w.actions {
		switch a := x.Action.(type) {
		case Steer:
			finite("frequency", a.Adjustment.Frequency, 1e-3)
			finite("slew", a.Adjustment.Slew, 1e-3)
		case Save:
			finite("saved frequency", a.State.Frequency, 1e-3)
			if a.State.AccumulatedSteps < 0 {
				t.Fatalf("accumulated steps are %v", a.State.AccumulatedSteps)
			}
		case PublishSnapshot:
			s := a.Snapshot
			finite("dispersion rate", s.DispersionRate, 1)
			if s.Stratum == 0 || s.Stratum > proto.MaxStratum || s.RootDispersion < 0 || s.RootDelay < 0 {
				t.Fatalf("serves %+v", s)
			}
		}
	}
	w.actions = w.actions[:0]
	st := w.engine.Status(w.now())
	finite("frequency", st.Frequency, 1e-3)
	if st.AccumulatedSteps < 0 {
		t.Fatalf("accumulated steps are %v", st.AccumulatedSteps)
	}
	if _, err := json.Marshal(st); err != nil {
		t.Fatal(err)
	}
}

// An NTSN beside a valid reply to the same request was forged.
func TestNAKsBesideAnswersCauseNoKeyExchange(t *testing.T) {
	w, h := ntsWorld(t)
	w.run(10 * time.Second)
	var nak []byte
	h.edit = func(p []byte) []byte {
		nak = slices.Clone(p[:48+36])
		nak[1] = 0
		copy(nak[12:], "NTSN")
		return p
	}
	for range 200 {
		n := len(w.actions)
		w.run(oneWay) // requests are on their way
		for _, x := range w.actions[n:] {
			if s, ok := x.Action.(Send); ok {
				forged := make([]byte, 48+36)
				copy(forged, s.Payload)
				forged[0], forged[1] = 0xe4, 0
				copy(forged[12:], "NTSN")
				copy(forged[24:32], s.Payload[40:48])
				w.happen(Received{Exchange: s.Exchange, From: s.To, Payload: forged, Stamp: proto.Stamp{Source: proto.StampKernel}})
			}
		}
		w.run(time.Second)
	}
	if k, _ := all[ExchangeKeys](w); len(k) != 1 || len(h.asked) < 10 || nak == nil {
		t.Errorf("%d key exchanges, %d polls", len(k), len(h.asked))
	}
	if r := w.row(0); r.Cookies != 8 || r.Condition != Selected {
		t.Errorf("row %+v", r)
	}
}

// Of keys and cookies nothing is saved in the state of the clock, which anyone
// may read: a start that has nothing else exchanges keys before it asks.
func TestNoKeysAreSaved(t *testing.T) {
	s := reflect.TypeFor[State]()
	var names []string
	for i := range s.NumField() {
		names = append(names, s.Field(i).Name)
	}
	if want := []string{"Frequency", "FrequencySigma", "AccumulatedSteps", "SavedAt", "Panicked", "Floor"}; !slices.Equal(names, want) {
		t.Errorf("state holds %v, want %v", names, want)
	}
	w, h := ntsWorld(t)
	w.run(2 * time.Hour)
	saves, _ := all[Save](w)
	if len(saves) == 0 {
		t.Fatal("nothing was saved")
	}
	asked := len(h.asked)
	w.engine = New(w.engine.cfg, saves[len(saves)-1].State, seed(4), w.now())
	w.open = map[ExchangeID]netip.AddrPort{}
	w.actions = nil
	w.run(time.Millisecond)
	if k, _ := all[ExchangeKeys](w); len(k) != 1 || len(h.asked) != asked {
		t.Errorf("%d key exchanges, %d requests", len(k), len(h.asked)-asked)
	}
}

// This machine's own server repeats this machine's clock, whatever it says of
// its reference. A stratum of 1 is somebody else's port on the same machine, or
// a clock of its own.
// A daemon that is its own source agrees with itself, whatever the time is. At
// another port, or another loopback address, is somebody else.
func TestTheDaemonIsNoSourceOfItself(t *testing.T) {
	for _, tt := range []struct {
		source, serving string
		want            Reason
	}{
		{"127.0.0.1", "127.0.0.1:123", ReasonLoop},
		{"127.0.0.1", "0.0.0.0:123", ReasonLoop},
		{"127.0.0.9", "[::]:123", ReasonLoop},
		{"::1", "[::]:123", ReasonLoop},
		{"192.0.2.1", "[::]:123", ReasonLoop},
		{"192.0.2.1", "192.0.2.1:123", ReasonLoop},
		{"::1", "0.0.0.0:123", ""},
		{"127.0.0.1", "127.0.0.1:1123", ""},
		{"127.0.0.2", "127.0.0.1:123", ""},
		{"192.0.2.2", "[::]:123", ""},
	} {
		w := newWorld(t, config(src(ModeServer, tt.source, 1)))
		w.host(tt.source)
		w.run(time.Millisecond)
		w.happen(NetworkChanged{Local: []netip.Addr{addr("127.0.0.1"), addr("192.0.2.1")}, Serving: []netip.AddrPort{netip.MustParseAddrPort(tt.serving)}})
		w.run(60 * time.Second)
		r := w.row(0)
		if r.Reason != tt.want || tt.want == ReasonLoop && (r.Condition != Unusable || w.status.Synchronised) {
			t.Errorf("%s while serving at %s: row %+v", tt.source, tt.serving, r)
		}
	}
}

// A pool's name that leads here as well costs the pool none of its servers.
func TestAPoolLeavesOutTheDaemonItself(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.example", 2)))
	w.happen(NetworkChanged{Serving: []netip.AddrPort{netip.MustParseAddrPort("[::]:123")}})
	w.name("pool.example", "127.0.0.1", "192.0.2.1", "192.0.2.2")
	for _, a := range []string{"127.0.0.1", "192.0.2.1", "192.0.2.2"} {
		w.host(a)
	}
	w.run(120 * time.Second)
	for i := range 2 {
		if r := w.row(i); r.Condition != Selected || r.Addr.Addr().IsLoopback() {
			t.Errorf("row %d is %+v", i, r)
		}
	}
}

func TestOurselvesAreNoSource(t *testing.T) {
	for stratum, want := range map[uint8]Reason{1: "", 2: ReasonLoop, 3: ReasonLoop} {
		w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1)))
		h := w.host("192.0.2.1")
		h.snapshot.Stratum, h.snapshot.RefID = stratum, proto.RefIDAddr(addr("203.0.113.5"))
		w.run(time.Millisecond)
		w.happen(NetworkChanged{Local: []netip.Addr{addr("192.0.2.1")}})
		w.run(60 * time.Second)
		if r := w.row(0); r.Reason != want {
			t.Errorf("stratum %d: row %+v", stratum, r)
		}
	}
}
