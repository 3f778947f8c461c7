package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

func TestMain(m *testing.M) {
	lab.Hook()
	os.Exit(m.Run())
}

func TestAchievementSuffices(t *testing.T) {
	plain := achievement{synchronised: true, replies: 3, cookies: -1, offset: time.Millisecond}
	nts := achievement{synchronised: true, authenticated: true, replies: 3, cookies: 8, offset: -time.Millisecond}
	with := func(a achievement, change func(*achievement)) achievement {
		change(&a)
		return a
	}
	for _, test := range []struct {
		name string
		a    achievement
		nts  bool
		good bool
	}{
		{"plain", plain, false, true},
		{"nts", nts, true, true},
		{"nothing yet", achievement{cookies: -1}, false, false},
		{"not chosen", with(plain, func(a *achievement) { a.synchronised = false }), false, false},
		{"no replies", with(plain, func(a *achievement) { a.replies = 0 }), false, false},
		{"ahead", with(plain, func(a *achievement) { a.offset = maxOffset }), false, false},
		{"behind", with(plain, func(a *achievement) { a.offset = -maxOffset }), false, false},
		{"plain answers to an NTS client", plain, true, false},
		{"not authenticated", with(nts, func(a *achievement) { a.authenticated = false }), true, false},
		{"seven cookies", with(nts, func(a *achievement) { a.cookies = 7 }), true, false},
		{"nine cookies", with(nts, func(a *achievement) { a.cookies = 9 }), true, false},
		{"cookies without NTS", nts, false, false},
	} {
		if err := test.a.suffices(test.nts); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestServedSuffices(t *testing.T) {
	for _, test := range []struct {
		name string
		s    served
		nts  bool
		good bool
	}{
		{"plain", served{requests: 1}, false, true},
		{"nts", served{requests: 1, authenticated: 1, exchanges: 1}, true, true},
		{"nts, exchanges not counted", served{requests: 1, authenticated: 1, exchanges: -1}, true, true},
		{"nothing asked", served{}, false, false},
		{"not authenticated", served{requests: 1, exchanges: 1}, true, false},
		{"no exchange", served{requests: 1, authenticated: 1}, true, false},
	} {
		if err := test.s.suffices(test.nts); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestServedSince(t *testing.T) {
	got := served{10, 8, 3, 2}.since(served{4, 3, 1, 2})
	if want := (served{6, 5, 2, 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (served{exchanges: -1}).since(served{exchanges: -1}); got.exchanges != -1 {
		t.Errorf("uncounted exchanges became %d", got.exchanges)
	}
}

func TestYields(t *testing.T) {
	if (achievement{cookies: -1}).yields() || (achievement{cookies: 0}).yields() {
		t.Error("a client with nothing yields")
	}
	for _, a := range []achievement{{synchronised: true}, {authenticated: true}, {cookies: 1}} {
		if !a.yields() {
			t.Errorf("%+v does not yield", a)
		}
	}
}

func TestServesWantsTimeThatClientsTake(t *testing.T) {
	if err := serves(lab.Answer{Stratum: 1, Root: time.Millisecond}); err != nil {
		t.Error(err)
	}
	for _, a := range []lab.Answer{{Leap: 3, Stratum: 1}, {}, {Stratum: 16}, {Stratum: 2, Root: 8 * time.Second}} {
		if serves(a) == nil {
			t.Errorf("%+v passes", a)
		}
	}
}

type answers []func() (achievement, error)

func (a *answers) achieved() (achievement, error) {
	next := (*a)[0]
	if len(*a) > 1 {
		*a = (*a)[1:]
	}
	return next()
}

func TestWatchSeesAClientYieldOrDie(t *testing.T) {
	nothing := func() (achievement, error) { return achievement{cookies: -1}, nil }
	yielded := func() (achievement, error) { return achievement{synchronised: true}, nil }
	died := func() (achievement, error) { return achievement{}, errors.New("died") }
	got, err := watch(t.Context(), &answers{nothing, yielded})
	if err != nil || !got.yields() {
		t.Errorf("yielding client: %+v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	if _, err := watch(ctx, &answers{nothing, died}); err == nil {
		t.Error("a client that died is taken for one that refuses")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := watch(ended, &answers{nothing}); err != nil || got.yields() {
		t.Errorf("refusing client: %+v, %v", got, err)
	}
}

func TestRedRowsAreCounted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	w := &world{dir: t.TempDir(), certs: t.TempDir(), options: options{parallel: 2, patience: time.Minute, match: regexp.MustCompile("")}}
	w.fakeClock = os.Args[0] // any file
	if b, err := w.newBench(t.TempDir()); err != nil {
		t.Skip("no namespaces here: ", err)
	} else {
		b.close()
	}
	prove := func(err error) func(context.Context, *bench) (string, error) {
		return func(context.Context, *bench) (string, error) { return "evidence", err }
	}
	rows := []row{{"a", "b", "good", prove(nil)}, {"a", "b", "bad", prove(errors.New("no"))}, {"a", "b", "worse", prove(errors.New("no"))}}
	if failed := w.runAll(t.Context(), rows); failed != 2 {
		t.Errorf("%d rows failed, want 2", failed)
	}
}
