package khronos

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/ntpd-go/ntpd-go/proto"
)

const ms = proto.Second / 1000

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
}

// known is a watchdog that knows n servers.
func known(n int) *Watchdog {
	w := &Watchdog{}
	for i := range n {
		w.Learn([]netip.Addr{address(i)})
	}
	return w
}

func TestPoolIsBounded(t *testing.T) {
	w := &Watchdog{}
	many := make([]netip.Addr, 500)
	for i := range many {
		many[i] = address(i)
	}
	w.Learn(many)
	if w.Known() != MaxAnswer {
		t.Errorf("%d servers of one answer", w.Known())
	}
	w.Learn(many[:2])
	w.Learn([]netip.Addr{netip.AddrFrom16(many[0].As16())}) // mapped
	if w.Known() != MaxAnswer {
		t.Errorf("a server counts twice: %d", w.Known())
	}
	w = known(MaxPool + 10)
	if w.Known() != MaxPool || slices.Contains(w.pool, address(9)) || !slices.Contains(w.pool, address(10)) {
		t.Errorf("%d servers are known", w.Known())
	}
}

// Every server is drawn as often as another, and none twice in a round.
func TestDrawIsFair(t *testing.T) {
	w := known(60)
	entropy := rand.NewChaCha8([32]byte{1})
	counts := map[netip.Addr]int{}
	const rounds = 4000
	for range rounds {
		drawn, err := w.Draw(entropy)
		if err != nil || len(drawn) != Samples {
			t.Fatalf("%v, %v", drawn, err)
		}
		slices.SortFunc(drawn, netip.Addr.Compare)
		if len(slices.Compact(drawn)) != Samples {
			t.Fatal("a server is drawn twice")
		}
		for _, a := range drawn {
			counts[a]++
		}
	}
	want := rounds * Samples / 60
	for a, n := range counts {
		if n < want*85/100 || n > want*115/100 {
			t.Errorf("%v was drawn %d times, want about %d", a, n, want)
		}
	}
	if len(counts) != 60 {
		t.Errorf("%d servers were drawn at all", len(counts))
	}
}

func TestDrawNeedsAPool(t *testing.T) {
	if drawn, err := known(MinPool - 1).Draw(rand.NewChaCha8([32]byte{1})); drawn != nil || err != nil {
		t.Errorf("%v, %v", drawn, err)
	}
	if _, err := known(MinPool).Draw(iotest.ErrReader(errors.New("none"))); err == nil {
		t.Error("drawn without randomness")
	}
}

func offsets(n int, at proto.Duration) []proto.Duration {
	all := make([]proto.Duration, n)
	for i := range all {
		all[i] = at + proto.Duration(i-n/2)*ms/4
	}
	return all
}

func TestJudge(t *testing.T) {
	far := 3600 * proto.Second
	for name, tt := range map[string]struct {
		offsets []proto.Duration
		want    Verdict
	}{
		"all agree":                 {offsets(15, 0), Agrees},
		"five liars above":          {append(offsets(10, 0), offsets(5, far)...), Agrees},
		"five on each side":         {slices.Concat(offsets(5, 0), offsets(5, far), offsets(5, -far)), Agrees},
		"six liars above":           {append(offsets(9, 0), offsets(6, far)...), Again},
		"a clock at the limit":      {offsets(15, MaxError), Agrees},
		"a clock beyond the limit":  {offsets(15, MaxError+ms), Again},
		"behind it":                 {offsets(15, -MaxError-ms), Again},
		"servers far apart":         {slices.Concat(offsets(8, -26*ms), offsets(7, 26*ms)), Again},
		"ten answers":               {offsets(11, 0), Agrees},
		"too few answers":           {offsets(9, 0), Unknown},
		"as few as nobody":          {nil, Unknown},
		"ten leave nothing to mean": {offsets(10, 0), Unknown},
	} {
		w := known(60)
		if got, _ := w.Judge(tt.offsets); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// After as many rounds that disagree everyone is asked, and that decides.
func TestEveryoneDecides(t *testing.T) {
	for want, all := range map[Verdict][]proto.Duration{
		Agrees:  append(offsets(41, 0), offsets(19, proto.Second)...),
		Alarm:   append(offsets(41, proto.Second), offsets(19, 0)...),
		Unknown: offsets(MinPool/2-1, proto.Second),
	} {
		w := known(60)
		for i := range Rounds {
			got, mean := w.Judge(offsets(15, proto.Second))
			if wanted := []Verdict{Again, Again, Everyone}[i]; got != wanted || (mean-proto.Second).Abs() > ms {
				t.Fatalf("round %d: %v, %v", i, got, mean)
			}
		}
		if drawn, err := w.Draw(nil); err != nil || len(drawn) != 60 {
			t.Fatalf("%d servers, %v", len(drawn), err)
		}
		if got, mean := w.Judge(all); got != want || want == Alarm && (mean-proto.Second).Abs() > 5*ms {
			t.Errorf("%v, %v, want %v", got, mean, want)
		}
		if drawn, err := w.Draw(rand.NewChaCha8([32]byte{1})); err != nil || len(drawn) != Samples {
			t.Errorf("then %d are drawn, %v", len(drawn), err)
		}
	}
	w := known(60)
	w.Judge(offsets(15, proto.Second))
	w.Judge(offsets(15, 0)) // an agreement in between
	w.Judge(offsets(15, proto.Second))
	if got, _ := w.Judge(offsets(15, proto.Second)); got != Again {
		t.Errorf("doubts add up over agreements: %v", got)
	}
}

func TestVerdictNames(t *testing.T) {
	for v := Unknown; v <= Alarm; v++ {
		if v.String() == "invalid" {
			t.Errorf("%d has no name", v)
		}
	}
	if Verdict(99).String() != "invalid" {
		t.Error("99 has a name")
	}
}
