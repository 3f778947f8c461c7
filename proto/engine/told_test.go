package engine

import (
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// What status tells beside conditions: which source is the reference, how
// many agree, when certificates end, and the last measurement by itself.
func TestStatusTellsWhatItRestsOn(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(time.Minute)
	st := w.engine.Status(w.now())
	if st.Agree != 3 || st.Selected != 3 {
		t.Errorf("%d agree, %d are selected", st.Agree, st.Selected)
	}
	found := false
	for _, s := range st.Sources {
		found = found || s.ID == st.Primary
		if d := s.Measured.Delay; d < proto.FromStd(2*oneWay)-proto.Second/1000 || d > proto.FromStd(2*oneWay)+proto.Second/1000 {
			t.Errorf("%s: measured delay %v", s.Name, d)
		}
		if s.Measured.Offset.Abs() > proto.Second/1000 || s.Measured == (Measurement{}) {
			t.Errorf("%s: measured offset %v", s.Name, s.Measured.Offset)
		}
		if !s.NotAfter.IsZero() {
			t.Errorf("%s has a certificate", s.Name)
		}
	}
	if !found || st.Primary == 0 {
		t.Errorf("the reference is %d", st.Primary)
	}
}

func TestStatusTellsWhenCertificatesEnd(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.test", 1)))
	h := w.host("192.0.2.1")
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	w.keys = func(a ExchangeKeys) Event {
		ev := w.establish(a, h, "192.0.2.1")
		ev.NotAfter = end
		return ev
	}
	w.run(time.Minute)
	if s := w.engine.Status(w.now()).Sources[0]; !s.NotAfter.Equal(end) {
		t.Errorf("got %v", s.NotAfter)
	}
}

// An operator's refresh asks at once whom it names, or everybody.
func TestSourcesAreRefreshed(t *testing.T) {
	for name, want := range map[string][3]bool{
		"":            {true, true, true},
		"192.0.2.2":   {false, true, false},
		"nobody.test": {false, false, false},
	} {
		w := syncedWorld(t, 0)
		w.run(2 * time.Hour) // polls are rare by now
		before := [3]int{}
		hosts := [3]*host{}
		i := 0
		for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			for at, h := range w.hosts {
				if at.Addr() == addr(a) {
					hosts[i], before[i] = h, len(h.asked)
				}
			}
			i++
		}
		w.happen(Commanded{Verb: "source-refresh", Source: name})
		w.run(3 * time.Second)
		for i, h := range hosts {
			if asked := len(h.asked) > before[i]; asked != want[i] {
				t.Errorf("%q: source %d was asked: %v", name, i, asked)
			}
		}
	}
}
