package engine

import (
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A source with keys outvotes any number without, who agree on another time.
func TestKeysOutvotePlainSources(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1), src(ModeServer, "192.0.2.2", 1), src(ModeServer, "192.0.2.3", 1),
		src(ModeNTS, "nts.test", 1)))
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		w.host(a).wrong = 100 * proto.Second
	}
	h := w.host("192.0.2.9")
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "192.0.2.9") }
	w.run(10 * time.Minute)
	if w.wrong.Abs() > proto.Second/100 {
		t.Errorf("the clock is off by %v", w.wrong)
	}
	for _, s := range w.engine.Status(w.now()).Sources {
		want := Falseticker
		if s.NTS {
			want = Selected
		}
		if s.Condition != want {
			t.Errorf("%v is %s, want %s", s.Addr, s.Condition, want)
		}
	}
}
