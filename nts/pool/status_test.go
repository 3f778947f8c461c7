package pool

import (
	"crypto/tls"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good := w.add(func(s *source) { s.keep, s.server.NTPServer = true, "ntp.example.net" })
		bad := w.add(func(s *source) {
			s.keep, s.token = true, "hush"
			s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0002" + eom) }
		})
		w.add(func(s *source) { s.down = true })
		var seen []Access
		w.change = func(c *Config) {
			c.Sources[0].Owner, c.Sources[0].Country, c.Sources[0].Location = "somebody", "NL", "attic"
			c.Access = func(a Access) { seen = append(seen, a) }
		}
		w.start()
		if s := w.pool.Status(); s.Sources[0].Families[0].State != StateNew || s.Sources[0].Families[0].Quality != 1 {
			t.Errorf("at first %+v", s.Sources[0].Families[0])
		}
		time.Sleep(time.Second)
		if _, err := w.exchange(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = []string{"ntp.example.net"} }); err == nil {
			t.Fatal("cookies out of nothing")
		}
		w.ask(ordinary + "c032 0000" + eom)
		w.ask("8001 0002 8001" + eom)
		w.wantDenied("ntp.example.net", bad.name)
		time.Sleep(time.Second)
		s := w.pool.Status()
		for outcome, want := range map[Outcome]uint64{Served: 1, SourceFailed: 1, Unrecognized: 1, NoOverlap: 1, NoSource: 1, Shed: 0} {
			if got := s.Outcomes[outcome.String()]; got != want {
				t.Errorf("%v: %d, want %d", outcome, got, want)
			}
		}
		if len(s.Outcomes) != outcomes || len(s.Times) != len(Buckets)+1 || s.Times[0] != 1 {
			t.Errorf("%v, %v", s.Outcomes, s.Times)
		}
		if g := s.Sources[0]; g.Source != "s0.example.net:4460" || g.Owner != "somebody" || g.Country != "NL" || g.Location != "attic" ||
			!slices.Equal(g.Names, []string{good.name, "ntp.example.net"}) || len(g.Families) != 1 {
			t.Errorf("%+v", g)
		}
		if f := s.Sources[0].Families[0]; f.State != StateOK || f.Dialect != "iana" || f.Served != 1 || f.Resting != 1 || f.Busy != 0 || len(f.Algorithms) == 0 {
			t.Errorf("%+v", f)
		}
		if f := s.Sources[1].Families[0]; f.State != StateSuspected || f.Failed != 1 || f.Quality >= 1 || !strings.Contains(f.Reason, "internal server error") {
			t.Errorf("%+v", f)
		}
		if f := s.Sources[2].Families[0]; f.State != StateDown || f.Reason == "" {
			t.Errorf("%+v", f)
		}
		if u := s.Upstream; u.Exchanges != 2 || u.ExchangesFailed != 1 || u.Connections < 2 || u.Reused == 0 || u.Failed == 0 || u.QuestionsFailed == 0 {
			t.Errorf("%+v", u)
		}
		if len(seen) != 5 || seen[0].Outcome != Served || seen[0].Source != "s0.example.net:4460" || seen[1].Source != "s1.example.net:4460" || seen[4].Source != "" {
			t.Errorf("%+v", seen)
		}
		text, err := json.Marshal(s)
		if err != nil || strings.Contains(string(text), "hush") {
			t.Errorf("%s, %v", text, err)
		}
	})
}

// A source that does not keep connections is served by new ones, which is
// counted.
func TestCase29RefusedKeepAliveIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add()
		w.start()
		time.Sleep(time.Second)
		before := w.pool.Status().Upstream
		for range 2 {
			if _, err := w.exchange(); err != nil {
				t.Fatal(err)
			}
		}
		u := w.pool.Status().Upstream
		if u.RefusedKeepAlive != before.RefusedKeepAlive+2 || u.Connections != before.Connections+2 || u.Resumed != before.Resumed+2 || u.Reused != 0 {
			t.Errorf("%+v, before %+v", u, before)
		}
		if _, resumed := s.connections(); resumed == 0 {
			t.Error("no session was resumed")
		}
	})
}

func TestOutcomeNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, o := range Outcomes() {
		if name := o.String(); name == "" || name == "invalid" || seen[name] {
			t.Errorf("outcome %d is %q", o, name)
		}
		seen[o.String()] = true
	}
	if Outcome(outcomes).String() != "invalid" || outcomeOf(ke.NoALPN) != NoALPN || outcomeOf(ke.Panicked) != Panicked || outcomeOf(ke.HandshakeFailed) != HandshakeFailed {
		t.Error("names that do not exist")
	}
}
