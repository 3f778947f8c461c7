package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the vote: who is believed when servers contradict each other.
var votingRows = []scene.Row{
	{ID: "T59", What: "five plain liars in agreement against three servers with NTS, at the start, later, and without key exchange", Limit: 4 * time.Minute, Prove: outnumbered},
	{ID: "T64", What: "leap seconds that a minority, half, a falseticker or the wrong day announces; and one that comes", Limit: 4 * time.Minute, Prove: leaps},
}

// plainSource is a source of a client's configuration.
func plainSource(addr string) string {
	return fmt.Sprintf("[[source]]\nmode = \"server\"\naddress = %q\n", addr)
}

// voter is a client that serves the time that it believes.
type voter struct {
	*scene.Daemon
	serves string
}

// voter starts a client of sources that serves at an address. Keys go into its [synchronization].
func newVoter(t *scene.Trial, h *lab.Host, name string, serves int, keys, sources string) *voter {
	addr := netip.AddrFrom4([4]byte{127, 0, 12, byte(serves)}).String()
	text := fmt.Sprintf("[[server]]\nlisten = \"%s:123\"\n", addr) + majority + keys + sources
	return &voter{t.Daemon(h, name, text), addr + ":123"}
}

// are wants the given sources, and no others, to have a condition.
func (v *voter) are(condition string, sources ...int) error {
	s, err := v.State()
	if err != nil {
		return err
	}
	var have, others []int
	for _, row := range s.Own.Sources {
		if row.Condition == condition {
			have = append(have, row.Source)
		} else {
			others = append(others, row.Source)
		}
	}
	slices.Sort(have)
	if !slices.Equal(have, sources) {
		return fmt.Errorf("%s: %v are %s and %v are not, want %v", v.Name, have, condition, others, sources)
	}
	return nil
}

// off wants the served time to be ahead of the truth by some time, and the client to be synchronised.
func (v *voter) off(ahead time.Duration) error {
	a, err := scene.Ask(v.Host, v.serves)
	switch {
	case err != nil:
		return err
	case a.Leap == 3:
		return fmt.Errorf("%s is not synchronised", v.Name)
	case (a.Offset - ahead).Abs() > 50*time.Millisecond:
		return fmt.Errorf("the clock of %s is %v off, want %v", v.Name, a.Offset, ahead)
	}
	return nil
}

// truthful reports a clock that is further off than the client says itself, half its root delay and its root dispersion, by
// more than a busy machine explains, or than the smallest of lies would make it.
func (v *voter) truthful() error {
	a, err := scene.Ask(v.Host, v.serves)
	if err != nil || a.Delay > 20*time.Millisecond {
		return nil //nolint:nilerr // a busy machine: no comparison
	}
	if off := a.Offset.Abs(); off > 50*time.Millisecond || off > a.Root+a.Delay/2+time.Millisecond {
		return fmt.Errorf("the clock of %s is %v off, and it says at most %v (%v on the way)", v.Name, a.Offset, a.Root, a.Delay)
	}
	return nil
}

// unstepped reports a clock that was ever stepped by more than what a first correction on this machine takes.
func (v *voter) unstepped() error {
	s, err := v.State()
	if err == nil && s.System.AccumulatedSteps > 0.1 {
		err = fmt.Errorf("%s was stepped by %v s", v.Name, s.System.AccumulatedSteps)
	}
	return err
}

// all asks several questions.
func all(questions ...error) error {
	for _, err := range questions {
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	nobodyOutvotes = "nts-selection = \"equal\"\n"
	onlyNTS        = "nts-selection = \"require\"\n"
)

func outnumbered(t *scene.Trial) {
	const lie = 10 * time.Second
	h := t.Host("host")
	var sources strings.Builder
	var stop []func()
	for _, name := range []string{"server", "second", "third"} {
		at := scene.Names[name+".test"]
		u := t.Upstream(h, netip.AddrPortFrom(at, 123).String())
		stop = append(stop, t.Keys(h, u, netip.AddrPortFrom(at, 4460).String(), name, netip.AddrPortFrom(at, 123)))
		sources.WriteString(scene.NTS(name + ".test"))
	}
	liars := make([]*scene.Upstream, 5)
	for i := range liars {
		addr := netip.AddrFrom4([4]byte{127, 0, 11, byte(i + 1)}).String()
		liars[i] = t.Upstream(h, addr+":123")
		sources.WriteString(plainSource(addr))
	}
	nts, plain := []int{0, 1, 2}, []int{3, 4, 5, 6, 7}

	usual := newVoter(t, h, "usual", 1, "", sources.String())
	strict := newVoter(t, h, "strict", 2, onlyNTS, sources.String())
	equal := newVoter(t, h, "equal", 3, nobodyOutvotes, sources.String())
	for _, v := range []*voter{usual, strict, equal} {
		t.Eventually(30*time.Second, func() error { return all(v.are("selected", 0, 1, 2, 3, 4, 5, 6, 7), v.off(0)) })
	}
	t.Control("eight servers that agree are all followed")
	for _, u := range liars {
		u.Shift(lie)
	}
	t.Eventually(30*time.Second, func() error {
		return all(equal.are("selected", plain...), equal.are("falseticker", nts...), equal.off(lie))
	})
	t.Control("with equal votes the five liars have their way: %v", lie)
	for _, v := range []*voter{usual, strict} {
		t.Eventually(20*time.Second, func() error { return all(v.are("selected", nts...), v.are("falseticker", plain...)) })
	}
	t.Hold(3*time.Second, func() error { return all(usual.unstepped(), strict.unstepped()) })
	t.Check(all(usual.off(0), strict.off(0)))
	for _, v := range []*voter{usual, strict, equal} {
		v.Stop()
	}
	// Who starts among them has no time of its own to hold on to.
	fresh := newVoter(t, h, "fresh", 4, "", sources.String())
	t.Eventually(30*time.Second, func() error {
		return all(fresh.are("selected", nts...), fresh.are("falseticker", plain...), fresh.off(0), fresh.unstepped())
	})
	t.Saw("by default and where NTS is required three servers with it are followed, and five liars are falsetickers, also from the start")
	fresh.Stop()

	// Without key exchange nobody has a vote by which to outvote them, unless that is required.
	for _, f := range stop {
		f()
	}
	usual = newVoter(t, h, "usual-without", 5, "", sources.String())
	strict = newVoter(t, h, "strict-without", 6, onlyNTS, sources.String())
	t.Eventually(30*time.Second, func() error { return all(usual.are("selected", plain...), usual.off(lie)) })
	t.Control("without any key exchange a client by default follows the others")
	for _, i := range plain {
		t.Samples(strict.Daemon, i, 0, 8, 30*time.Second)
	}
	t.Check(strict.unstepped())
	if s := t.MustState(strict.Daemon); s.Own.Synchronised {
		t.Fatal("a client that requires NTS follows others: %s", s.Own.Text)
	}
	t.Saw("where NTS is required, not even then")
	t.RunTests("proto/kalman", "TestAuthenticatedSourcesOutvoteOthers", "TestAuthenticatedSourcesNeedAMajorityOfTheirOwn", "TestOthersSupportAuthenticatedSources")
}

// leaps announces leap seconds that nobody has decided, and one that comes. The servers' calendar is the client's, too:
// each client has servers of its own, which say that it is another day.
func leaps(t *scene.Trial) {
	h := t.Host("host")
	last := time.Date(time.Now().Year()+1, 12, 31, 12, 0, 0, 0, time.UTC)
	days := []*election{
		hold(t, h, 1, "march", last.AddDate(0, -9, -16)),
		hold(t, h, 2, "november", last.AddDate(0, 0, -31)),
		hold(t, h, 3, "the-day-before", last.AddDate(0, 0, -1)),
	}
	e := hold(t, h, 4, "december", last)
	e.minorities()
	for _, e := range days {
		e.ready()
		e.announce(proto.LeapInsert, 0, 1, 2, 3, 4)
	}
	midnight := last.Add(12 * time.Hour)
	m := hold(t, h, 5, "midnight", midnight.Add(-20*time.Second))
	for _, e := range days {
		e.ignored(2, e.client.Name)
		if !strings.Contains(e.client.Text(), "the sources announce") {
			t.Fatal("the client did not hear the announcement: %s", e.client.Tail(3))
		}
		e.client.Stop()
	}
	t.Saw("on other days all five announce it in vain")
	m.through(midnight)
	t.RunTests("proto/kalman", "TestLeapVote", "TestMonthDay", "TestLeapSecondPasses", "TestUnannouncedSecondIsMeddling", "TestOthersDoNotAnnounceALeapSecond")
}

// minorities announces what is not to be believed.
func (e *election) minorities() {
	e.ready()
	e.announce(proto.LeapInsert, 0, 1, 2)
	e.served(proto.LeapInsert)
	e.Control("on the last day of December three of five servers announce a second more, and the client serves the announcement")

	e.announce(proto.LeapNone, 0, 1, 2)
	e.served(proto.LeapNone)
	e.Control("when they withdraw it, so does the client")
	e.announce(proto.LeapInsert, 3, 4)
	e.ignored(4, "two of five servers announce a second more")
	e.announce(proto.LeapDelete, 0, 1)
	e.ignored(4, "two announce a second more and two a second less")
	e.announce(proto.LeapDelete, 2, 3, 4)
	e.served(proto.LeapDelete)
	e.Control("a second less, announced by all five, is served")
	// One of three is wrong by ten seconds: those that are followed are two against two.
	e.announce(proto.LeapNone, 0, 1)
	e.announce(proto.LeapInsert, 2, 3, 4)
	e.served(proto.LeapInsert)
	e.ups[4].Shift(e.shift + 10*time.Second)
	e.Eventually(20*time.Second, func() error { return e.client.are("falseticker", 4) })
	e.served(proto.LeapNone)
	e.ignored(4, "two of four followed servers and a falseticker announce it")
	// Those that do not know the time have no say, either way.
	e.ups[4].Shift(e.shift)
	e.announce(proto.LeapUnsynchronised, 0, 4)
	e.Eventually(20*time.Second, func() error { return e.client.are("unusable", 0, 4) })
	e.served(proto.LeapInsert)
	e.announce(proto.LeapNone, 3)
	e.served(proto.LeapNone)
	e.client.Stop()
	e.Saw("flags of two of five, of half, of a falseticker and of servers that do not know the time are not served")
}

// election is five servers, what they say of leap seconds, and a client of them.
type election struct {
	*scene.Trial
	ups    [5]*scene.Upstream
	says   [5]proto.Leap
	shift  time.Duration // of the time that they serve
	client *voter
}

// hold starts five servers that say that it is another time, and a client of them. The n-th election has addresses of
// its own.
func hold(t *scene.Trial, h *lab.Host, n byte, name string, at time.Time) *election {
	e := &election{Trial: t, shift: time.Until(at)}
	var sources strings.Builder
	for i := range e.ups {
		addr := netip.AddrFrom4([4]byte{127, 0, 20 + n, byte(i + 1)}).String()
		e.ups[i] = t.Upstream(h, addr+":123")
		e.ups[i].Shift(e.shift)
		sources.WriteString(plainSource(addr))
	}
	e.client = newVoter(t, h, name, int(n), "", sources.String())
	return e
}

// ready waits until the client follows all of them.
func (e *election) ready() {
	e.Eventually(30*time.Second, func() error {
		return all(e.client.are("selected", 0, 1, 2, 3, 4), e.client.off(e.shift))
	})
}

// announce changes what some servers say.
func (e *election) announce(leap proto.Leap, servers ...int) {
	for _, i := range servers {
		e.says[i] = leap
		e.ups[i].Say(func(s *server.TimeSnapshot) { s.Leap = leap })
	}
}

// leap wants the client's server and its state to announce something.
func (e *election) leap(want proto.Leap) error {
	d := e.client
	a, err := scene.Ask(d.Host, d.serves)
	if err != nil {
		return err
	}
	s, err := d.State()
	if err != nil {
		return err
	}
	names := map[proto.Leap]string{proto.LeapNone: "NoWarning", proto.LeapInsert: "Leap61", proto.LeapDelete: "Leap59"}
	if a.Leap != uint8(want) || s.System.Leap != names[want] {
		return fmt.Errorf("%s serves leap indicator %d and says %s, want %v", d.Name, a.Leap, s.System.Leap, want)
	}
	return nil
}

// served waits until the client has measured what every server says now, and announces it.
func (e *election) served(want proto.Leap) {
	e.measured(2, func() error { return nil })
	e.Eventually(20*time.Second, func() error { return e.leap(want) })
}

// ignored checks that the client announces nothing while it measures n times what each server says.
func (e *election) ignored(n uint64, what string) {
	e.measured(n, func() error {
		if err := e.leap(proto.LeapNone); err != nil {
			return lab.Final{Err: fmt.Errorf("%s: %w", what, err)}
		}
		return nil
	})
}

// measured waits until the client has measured each server that knows the time n times more, and asks a question all the time.
func (e *election) measured(n uint64, question func() error) {
	before := e.MustState(e.client.Daemon)
	e.Eventually(30*time.Second, func() error {
		if err := question(); err != nil {
			return err
		}
		now, err := e.client.State()
		if err != nil {
			return err
		}
		for i, row := range now.Own.Sources {
			if old := before.Own.Sources[i]; e.says[row.Source] != proto.LeapUnsynchronised && row.Taken() < old.Taken()+n {
				return fmt.Errorf("server %d was measured %d times since", row.Source, row.Taken()-old.Taken())
			}
		}
		return nil
	})
}

// through goes with the servers through a second that they announced and insert at midnight.
func (e *election) through(midnight time.Time) {
	e.ready()
	e.announce(proto.LeapInsert, 0, 1, 2, 3, 4)
	e.served(proto.LeapInsert)
	e.Eventually(20*time.Second, func() error {
		if left := time.Until(midnight.Add(-e.shift)); left > 0 {
			return fmt.Errorf("%v to midnight", left)
		}
		return nil
	})
	for i, u := range e.ups {
		u.Shift(e.shift - time.Second)
		e.announce(proto.LeapNone, i)
	}
	e.Eventually(20*time.Second, func() error {
		return all(e.client.off(e.shift-time.Second), e.client.are("selected", 0, 1, 2, 3, 4), e.leap(proto.LeapNone))
	})
	e.Saw("after a second that the servers insert the client has their time")
}
