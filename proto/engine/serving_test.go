package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

func TestLocalStratum(t *testing.T) {
	for _, tt := range []struct {
		local   uint8
		stratum uint8
		leap    proto.Leap
		refID   proto.RefID
	}{
		{0, 16, proto.LeapUnsynchronised, proto.RefIDText("XNON")},
		{1, 1, proto.LeapNone, proto.RefIDText("LOCL")},
		{2, 2, proto.LeapNone, localRefID},
		{15, 15, proto.LeapNone, localRefID},
		{16, 16, proto.LeapUnsynchronised, proto.RefIDText("XNON")},
		{200, 16, proto.LeapUnsynchronised, proto.RefIDText("XNON")},
	} {
		cfg := config()
		cfg.LocalStratum, cfg.ReferenceID, cfg.Steering = tt.local, proto.RefIDText("LOCL"), false
		w := newWorld(t, cfg)
		w.run(10 * time.Second)
		if s := w.snapshot; s.Stratum != tt.stratum || s.Leap != tt.leap || s.RefID != tt.refID || s.DispersionRate <= 0 {
			t.Errorf("local stratum %d: %+v", tt.local, s)
		}
		if s := w.engine.Status(w.now()); s.Synchronised || s.Text != "no sources are configured" {
			t.Errorf("local stratum %d: %+v", tt.local, s)
		}
	}
}

// A clock that lost its sources serves on while it is certain enough, with a
// dispersion that grows, and then says that it does not know.
func TestHoldover(t *testing.T) {
	w := syncedWorld(t, proto.Second/10)
	w.run(2 * time.Hour)
	before := w.snapshot
	if before.Stratum != 2 {
		t.Fatalf("serves %+v", before)
	}
	for _, h := range w.hosts {
		h.down = true
	}
	w.run(3 * time.Hour)
	during := w.snapshot
	if during.Stratum != 2 || during.Leap != proto.LeapNone || during.RootDispersion <= before.RootDispersion {
		t.Errorf("holding over: %+v, before %+v", during, before)
	}
	if d := during.RootDispersion; d < proto.FromSeconds(2*3600*dispersionRate) || during.DispersionRate < dispersionRate {
		t.Errorf("after hours without a measurement the dispersion is %v", d)
	}
	if s := w.engine.Status(w.now()); s.Selected != 0 || !s.Synchronised {
		t.Errorf("holding over: %d selected, synchronised %v", s.Selected, s.Synchronised)
	}
	for range 20 {
		w.run(24 * time.Hour)
		if s := w.snapshot; s.Stratum < 16 && s.RootDelay/2+s.RootDispersion >= maxDistance {
			t.Fatalf("serves %+v", s)
		}
		if w.snapshot.Stratum == 16 {
			break
		}
	}
	if w.snapshot.Stratum != 16 || w.status.Synchronised || w.snapshot.Leap != proto.LeapUnsynchronised {
		t.Errorf("still serves %+v", w.snapshot)
	}
	for _, h := range w.hosts {
		h.down = false
	}
	w.run(2 * time.Hour)
	if w.snapshot.Stratum != 2 || !w.status.Synchronised {
		t.Errorf("does not come back: %+v", w.snapshot)
	}
}

// However sure the discipline is of the frequency, what nobody measured for a
// day is not known to better than 1 ppm of a day.
func TestDispersionOfAnUnwatchedClock(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(300 * time.Second)
	e := w.engine
	e.now = w.now()
	before, _ := e.describe()
	e.serving.heard = w.mono.Add(-24 * time.Hour)
	after, status := e.describe()
	day := proto.FromSeconds(86400 * dispersionRate)
	if before.RootDispersion >= day || after.RootDispersion != day || status.MaxError < day || after.Stratum != 2 {
		t.Errorf("root dispersion %v, before %v, max error %v", after.RootDispersion, before.RootDispersion, status.MaxError)
	}
	e.serving.heard = w.mono.Add(-18 * 24 * time.Hour)
	if s, status := e.describe(); s.Stratum != 16 || status.Synchronised {
		t.Errorf("18 days later it serves %+v", s)
	}
}

func TestUnfitSources(t *testing.T) {
	self := addr("198.51.100.7")
	for _, tt := range []struct {
		name string
		edit func(*host)
		want Reason
	}{
		{"fit", func(*host) {}, ""},
		{"unsynchronised", func(h *host) { h.snapshot.Stratum = 16 }, ReasonUnsynchronised},
		{"stratum", func(h *host) { h.snapshot.Stratum = 9 }, ReasonStratum},
		{"distance", func(h *host) { h.snapshot.RootDispersion = 2 * proto.Second }, ReasonDistance},
		{"loop", func(h *host) { h.snapshot.Stratum, h.snapshot.RefID = 3, proto.RefIDAddr(self) }, ReasonLoop},
		{"no loop at stratum 1", func(h *host) { h.snapshot.RefID = proto.RefIDAddr(self) }, ""},
		{"no loop over loopback", func(h *host) { h.snapshot.Stratum, h.snapshot.RefID = 3, proto.RefIDAddr(addr("127.0.0.1")) }, ""},
	} {
		cfg := config(src(ModeServer, "192.0.2.1", 1))
		cfg.LocalStratum = 9
		cfg.Discipline.LocalStratum = 9
		w := newWorld(t, cfg)
		h := w.host("192.0.2.1")
		tt.edit(h)
		w.run(time.Millisecond)
		w.happen(NetworkChanged{Local: []netip.Addr{addr("127.0.0.1"), addr("::1"), self, addr("2001:db8::7"), {}}})
		w.run(100 * time.Second)
		r := w.row(0)
		if r.Reason != tt.want || r.Reach == 0 {
			t.Errorf("%s: row %+v", tt.name, r)
		}
		if tt.want == "" {
			if r.Condition != Selected {
				t.Errorf("%s: row %+v", tt.name, r)
			}
			continue
		}
		if r.Condition != Unusable || r.Text == "" || w.status.Synchronised {
			t.Errorf("%s: row %+v, synchronised %v", tt.name, r, w.status.Synchronised)
		}
		level := Warn
		if tt.want == ReasonUnsynchronised {
			level = Info
		}
		if i := w.incidents("source-problem"); len(i) != 1 || i[0].Level != level || i[0].Reason != tt.want || i[0].Name == "" {
			t.Errorf("%s: incidents %+v", tt.name, i)
		}
		// It recovers.
		h.snapshot.Stratum, h.snapshot.RefID, h.snapshot.RootDispersion = 1, proto.RefIDText("GPS"), 0
		w.run(600 * time.Second)
		if r := w.row(0); r.Condition != Selected || len(w.incidents("source-well")) != 1 {
			t.Errorf("%s: afterwards %+v", tt.name, r)
		}
	}
}

func TestReconfigured(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(100 * time.Second)
	first, second := w.row(0), w.row(1)
	cfg := config(src(ModeServer, "192.0.2.4", 1), src(ModeServer, "192.0.2.2", 1), src(ModeServer, "192.0.2.2", 1))
	w.host("192.0.2.4")
	w.happen(Reconfigured{Config: cfg})
	w.run(100 * time.Second)
	if r := w.row(1); r.ID != second.ID || r.Samples <= second.Samples || r.Index != 1 {
		t.Errorf("kept source is now %+v", r)
	}
	if r := w.row(0); r.ID == first.ID || r.Addr.Addr() != addr("192.0.2.4") {
		t.Errorf("new source is %+v", r)
	}
	if r := w.row(2); r.ID == second.ID || r.ID == 0 {
		t.Errorf("the same server twice is %+v", r)
	}
	if n := len(w.incidents("source-removed")); n != 2 {
		t.Errorf("%d sources removed", n)
	}
	if est := w.engine.discipline.Source(w.now(), first.ID); est.Samples != 0 {
		t.Errorf("the discipline still knows the source that is gone: %+v", est)
	}
	// More must agree than there are.
	cfg.Discipline.MinimumAgreeing = 7
	w.happen(Reconfigured{Config: cfg})
	w.run(100 * time.Second)
	if r := w.row(1); r.Condition != NoMajority {
		t.Errorf("with a minimum of seven: %+v", r)
	}
	w.happen(Reconfigured{Config: config()})
	w.run(100 * time.Second)
	if n := w.live(); n != 0 || len(w.open) != 0 || w.engine.Status(w.now()).Selected != 0 {
		t.Errorf("%d live, open %v", n, w.open)
	}
	// A server that refused is not asked under a new name either.
	w.engine.demobilise(netip.MustParseAddrPort("192.0.2.1:123"), false)
	asked := len(w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].asked)
	w.happen(Reconfigured{Config: config(src(ModeServer, "192.0.2.1", 1))})
	w.run(100 * time.Second)
	if r := w.row(0); r.Condition != Demobilised || len(w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].asked) != asked {
		t.Errorf("refused server: %+v", r)
	}
}

// The network comes back: who did not answer is asked at once.
func TestUnreachableIsAskedWhenTheNetworkChanges(t *testing.T) {
	s := src(ModeServer, "192.0.2.1", 1)
	s.PollMin, s.PollStart = 10, 10
	w := newWorld(t, config(s))
	w.run(3600 * time.Second)
	sends, _ := all[Send](w)
	w.run(10 * time.Second)
	w.happen(NetworkChanged{})
	w.run(3 * time.Second)
	if more, _ := all[Send](w); len(more) <= len(sends) || w.row(0).Condition != Unreachable {
		t.Errorf("%d polls, then %d", len(sends), len(more))
	}
}

func TestCommands(t *testing.T) {
	w := newWorld(t, config())
	w.happen(Commanded{Verb: "source-add", Source: "x"})
	if i := w.incidents("command-unknown"); len(i) != 1 || i[0].Level != Warn {
		t.Errorf("incidents %+v", i)
	}
}

// What comes for no one does nothing.
func TestStrayEvents(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(100 * time.Second)
	n := len(w.actions)
	for _, ev := range []Event{
		Sent{Exchange: 1}, Sent{}, SendFailed{Exchange: 1}, SendFailed{}, Received{Exchange: 1}, Received{},
		LookedUp{Request: 1, Addrs: []netip.Addr{addr("192.0.2.9")}}, LookedUp{},
		KeysEstablished{Request: 1, Server: "x"}, KeysEstablished{}, KeyExchangeFailed{Request: 1}, KeyExchangeFailed{},
		Referenced{}, ReferenceLost{}, SteerApplied{Steer: 1}, SteerFailed{},
	} {
		w.happen(ev)
	}
	if len(w.actions) != n {
		t.Errorf("did %+v", w.actions[n:])
	}
}

// A reply from another address is not looked at, however right it is.
func TestReplyFromElsewhere(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1)))
	w.host("192.0.2.1")
	w.run(3 * time.Millisecond)
	for i, d := range w.queue {
		if r, ok := d.ev.(Received); ok {
			r.From = netip.MustParseAddrPort("192.0.2.1:124")
			w.queue[i].ev = r
		}
	}
	w.run(time.Second)
	if r := w.row(0); r.Reach != 0 || r.Accepted != 0 {
		t.Errorf("row %+v", r)
	}
}

// An ICMP message that says "refused" can be forged by anyone: the reply may
// still come.
func TestRefusedIsNoProof(t *testing.T) {
	for _, tt := range []struct {
		class Class
		reach uint8
	}{{ClassRefused, 1}, {ClassNetwork, 0}} {
		w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1)))
		w.host("192.0.2.1")
		w.run(time.Millisecond)
		w.happen(SendFailed{Exchange: 1, Failure: Failure{Class: tt.class, Text: "it failed"}})
		w.run(time.Second)
		if r := w.row(0); r.Reach != tt.reach {
			t.Errorf("%s: reach %b", tt.class, r.Reach)
		}
	}
}
