package observe

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/jsonschema"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestReportGolden(t *testing.T) {
	s := sample()
	b, err := json.MarshalIndent(NewReport(&s, noon), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "report.json", append(b, '\n'))
}

// What is printed is what the published schema describes, whatever the daemon
// said.
func TestReportsFollowTheSchema(t *testing.T) {
	full := sample()
	full.Own.Verdicts, full.Own.Drops, full.Own.Clients = []map[string]uint64{{"accepted": 3}}, []uint64{4}, new(uint64)
	full.Own.KeyHosts = []KeyHost{{Address: "[::]:4460", NotAfter: &noon, Outcomes: map[string]uint64{"key-exchange": 1}, Restarts: new(uint64)}}
	full.Own.Sources[0].NotAfter = &noon
	other := sample()
	other.Own = nil
	for name, s := range map[string]*State{"nothing": {}, "full": &full, "other": &other, "own nothing": {Own: &Own{}}} {
		b, err := json.Marshal(NewReport(s, noon))
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range jsonschema.Check(StatusSchema, b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every condition of the engine has a state that the schema knows and a
// reason in words.
func TestEveryConditionIsExplained(t *testing.T) {
	two := 2
	for _, c := range []engine.Condition{
		engine.Resolving, engine.Exchanging, engine.Waiting, engine.Demobilised, engine.Measuring, engine.Unreachable,
		engine.Unusable, engine.Falseticker, engine.Selected, engine.NoMajority, engine.NotSupported,
	} {
		s := sample()
		s.Own.Agree = &two
		s.Own.Sources = []Row{{ID: 7, Name: "a.test", Condition: string(c)}}
		r := NewReport(&s, noon)
		if why := r.Sources[0].Why; !strings.Contains(why, " ") {
			t.Errorf("%s: %q", c, why)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range jsonschema.Check(StatusSchema, b) {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestWhy(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	n := func(v int) *int { return &v }
	u := func(v uint64) *uint64 { return &v }
	for _, c := range []struct {
		name string
		row  Row
		own  Own
		want string
	}{
		{"text", Row{Condition: "waiting", Text: "no such host"}, Own{}, "no such host"},
		{"retry", Row{Condition: "waiting", Text: "certificate expired 3 d ago", RetryIn: f(540)}, Own{}, "certificate expired 3 d ago, retry in 9 min"},
		{"needs", Row{Condition: "no-majority"}, Own{Agreeing: 3, Agree: n(1)}, "needs 3 agreeing and has 1"},
		{"needs unknown", Row{Condition: "no-majority"}, Own{Agreeing: 3}, "needs 3 agreeing"},
		{"falseticker", Row{Condition: "falseticker", Offset: f(0.0831)}, Own{Offset: f(-0.0002)}, "it disagrees with the majority by +83.3 ms"},
		{"too few", Row{Condition: "measuring", Samples: u(1)}, Own{}, "too few samples: 1 of 3"},
		{"reference", Row{Condition: "selected", ID: 4}, Own{Primary: 4}, "it agrees with the majority and is the reference"},
		{"combined", Row{Condition: "selected", ID: 4}, Own{Primary: 5}, "it agrees with the majority and shares in the time"},
		{"escape", Row{Condition: "waiting", Text: "a\x1b[2J\r\nb"}, Own{}, "a [2J  b"},
	} {
		c.own.Sources = []Row{c.row}
		r := NewReport(&State{Own: &c.own}, noon)
		if got := r.Sources[0].Why; got != c.want {
			t.Errorf("%s: %q instead of %q", c.name, got, c.want)
		}
	}
}

func TestTextsAreBounded(t *testing.T) {
	if got := line(strings.Repeat("x", 10*longest)); len(got) > longest+4 {
		t.Errorf("%d characters", len(got))
	}
}

func TestMagnitudes(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 ns", 4.2e-10: "0 ns", 5e-8: "50 ns", 9.994e-7: "999 ns", 9.996e-7: "1.00 µs", 1.4e-5: "14.0 µs", 9.996e-6: "10.0 µs", 9.996e-5: "100 µs",
		0.00131: "1.31 ms", 0.0831: "83.1 ms", 0.9994: "999 ms", 0.9996: "1.00 s", 12.34: "12.3 s", 999: "999 s", 1000: "16 min", 90000: "1 d 1 h", 1e12: "unknown",
	} {
		if got := Magnitude(v); got != want {
			t.Errorf("%v: %q instead of %q", v, got, want)
		}
	}
	if got := Signed(-0.0005); got != "-500 µs" {
		t.Error(got)
	}
	for v, want := range map[float64]string{0: "0 s", 45: "45 s", 119.6: "2 min", 540: "9 min", 4800: "1 h 20 min", 7200: "2 h", 273600: "3 d 4 h", 61 * 86400: "61 d"} {
		if got := Rough(v); got != want {
			t.Errorf("%v: %q instead of %q", v, got, want)
		}
	}
}

// Every state of the clock, and a headline that says it.
func TestHeadlines(t *testing.T) {
	n := func(v int) *int { return &v }
	row := func(conditions ...string) (all []Row) {
		for i, c := range conditions {
			all = append(all, Row{ID: uint64(i + 1), Name: "a.test", Condition: c})
		}
		return all
	}
	unsynced := System{Stratum: 16, LeapIndicator: "Unknown"}
	synced := System{Stratum: 2, LeapIndicator: "NoWarning", RootDelay: 0.002}
	for _, c := range []struct {
		name, state, want string
		s                 State
	}{
		{"all", ClockSynchronised, "Synchronised: 2 sources agree, the clock is within 1.00 ms of true time.", State{System: synced, Own: &Own{Synchronised: true, Selected: 2, Sources: row("selected", "selected")}}},
		{"one", ClockSynchronised, "Synchronised: 1 source is followed, the clock is within 1.00 ms of true time.", State{System: synced, Own: &Own{Synchronised: true, Selected: 1, Sources: row("selected")}}},
		{"some", ClockSynchronised, "Synchronised: 2 of 3 sources agree, the clock is within 1.00 ms of true time.", State{System: synced, Own: &Own{Synchronised: true, Selected: 2, Sources: row("selected", "selected", "falseticker")}}},
		{"holdover", ClockHoldover, "Holding over: no source answers now, the clock is within 1.00 ms of true time.", State{System: synced, Own: &Own{Synchronised: true, Sources: row("unreachable")}}},
		{"local", ClockLocal, "Serving the local clock at stratum 1: no sources are configured.", State{System: System{Stratum: 1}, Own: &Own{}}},
		{"nothing", ClockNoSources, "Not synchronised: no sources are configured.", State{System: unsynced, Own: &Own{}}},
		{"measuring", ClockUnsynchronised, "Not synchronised: measuring, which takes a few seconds.", State{System: unsynced, Own: &Own{Agreeing: 2, Sources: row("measuring", "no-majority")}}},
		{"few", ClockUnsynchronised, "Not synchronised: 3 sources must agree and only 1 can be used.", State{System: unsynced, Own: &Own{Agreeing: 3, Agree: n(1), Sources: row("no-majority", "unreachable")}}},
		{"disagree", ClockUnsynchronised, "Not synchronised: 2 sources must agree and only 1 does; the others say another time.", State{System: unsynced, Own: &Own{Agreeing: 2, Agree: n(1), Sources: row("no-majority", "no-majority")}}},
		{"silent", ClockUnsynchronised, "Not synchronised: the only source cannot be used: it does not answer.", State{System: unsynced, Own: &Own{Agreeing: 1, Sources: row("unreachable")}}},
		{"engine", ClockUnsynchronised, "Not synchronised: the time is too uncertain.", State{System: unsynced, Own: &Own{Agreeing: 1, Agree: n(1), Text: "the time is too uncertain", Sources: row("no-majority")}}},
		{"other", ClockSynchronised, "Synchronised: stratum 2, the clock is within 1.00 ms of true time.", State{System: synced, Sources: []Source{{}}}},
		{"other unsynchronised", ClockUnsynchronised, "Not synchronised: the daemon does not say why.", State{System: unsynced, Sources: []Source{{}}}},
	} {
		r := NewReport(&c.s, noon)
		if r.Headline != c.want || r.Clock.State != c.state {
			t.Errorf("%s: %s, %q instead of %s, %q", c.name, r.Clock.State, r.Headline, c.state, c.want)
		}
	}
}
