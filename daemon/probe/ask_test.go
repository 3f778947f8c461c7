package probe

import (
	"context"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Where an answer comes, a test waits for it however busy the machine is. Where
// none comes, it waits in vain for a time in which those that come beside it
// arrive.
const (
	patient = 30 * time.Second
	quick   = 500 * time.Millisecond
)

// timeout is how long to wait for a server.
func (f *fault) timeout() time.Duration {
	if f.silent || f.maxLength > 0 || f.dropNTS || f.wrongOrigin || f.garbage || f.echo {
		return quick
	}
	return patient
}

func TestVerdictsOfPlainRequests(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault
		want  Verdict
		says  string
	}{
		{"a good server", fault{}, Answered, "answers"},
		{"silence", fault{silent: true}, NoAnswer, "no answer to 48 octets"},
		{"unsynchronised by leap", fault{leap: proto.LeapUnsynchronised}, Unsynchronised, "leap indicator 3"},
		{"unsynchronised by stratum", fault{stratum: 16}, Unsynchronised, "stratum 16"},
		{"denied", fault{kiss: "DENY"}, Kissed, "access denied"},
		{"too often", fault{kiss: "RATE"}, Kissed, "asked too often"},
		{"an answer to another request", fault{wrongOrigin: true}, Mismatched, "match no request"},
		{"an echo", fault{echo: true}, Mismatched, "sends back what it gets"},
		{"garbage", fault{garbage: true}, Malformed, "no reply of an NTP server"},
		{"no receive time", fault{noReceive: true}, Senseless, "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.fault)
			a := Ask(t.Context(), Question{To: s.addr(), Timeout: c.fault.timeout()})
			if a.Verdict != c.want || !strings.Contains(a.Sentence(), c.says) {
				t.Errorf("%v: %s", a.Verdict, a.Sentence())
			}
			if (a.Offset != nil) != (c.want == Answered) {
				t.Errorf("offset %v", a.Offset)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(c.LocalAddr().String())
	c.Close()
	if a := Ask(t.Context(), Question{To: to, Timeout: patient}); a.Verdict != Refused {
		t.Errorf("%v: %s", a.Verdict, a.Sentence())
	}
}

func TestTheOffsetIsTheServers(t *testing.T) {
	s := newServer(t, fault{offset: -90 * time.Second, root: 250 * time.Millisecond})
	a := Ask(t.Context(), Question{To: s.addr(), Timeout: patient})
	if a.Offset == nil || math.Abs(*a.Offset+90) > 1 {
		t.Fatalf("offset %v", a.Offset)
	}
	if b := a.Bound(); b < 0.25 || b > 0.25+*a.Delay {
		t.Errorf("bound %v with a delay of %v", b, *a.Delay)
	}
}

// A host with several addresses may answer from another than was asked.
func TestAnswersFromElsewhere(t *testing.T) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	s := newServer(t, fault{})
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := front.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			s.conn.WriteToUDPAddrPort(s.reply(b[:n]), from)
		}
	}()
	to := netip.MustParseAddrPort(front.LocalAddr().String())
	if a := Ask(t.Context(), Question{To: to, Timeout: quick}); a.Verdict != NoAnswer {
		t.Errorf("a connected socket hears %v", a.Verdict)
	}
	if from, ok := Elsewhere(t.Context(), Question{To: to, Timeout: patient}); !ok || from != s.addr() {
		t.Errorf("from %v, %v", from, ok)
	}
	if from, ok := Elsewhere(t.Context(), Question{To: s.addr(), Timeout: patient}); ok {
		t.Errorf("an answer from where it was asked comes from %v", from)
	}
	mute := newServer(t, fault{silent: true})
	if _, ok := Elsewhere(t.Context(), Question{To: mute.addr(), Timeout: quick}); ok {
		t.Error("silence comes from somewhere")
	}
}

func TestAnEndedContextEndsTheWait(t *testing.T) {
	s := newServer(t, fault{silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := Ask(ctx, Question{To: s.addr(), Timeout: time.Hour}); a.Verdict.Came() {
		t.Errorf("%v", a.Verdict)
	}
}

func TestPaddingMakesARequestLongerAndChangesNothing(t *testing.T) {
	s := newServer(t, fault{})
	for _, pad := range []int{1, 200, 1000} {
		a := Ask(t.Context(), Question{To: s.addr(), Timeout: patient, Pad: pad})
		if a.Verdict != Answered || a.Octets < proto.HeaderLen+pad || a.Octets > proto.HeaderLen+pad+31 {
			t.Errorf("pad %d: %d octets, %v", pad, a.Octets, a.Verdict)
		}
	}
}

func TestAgreement(t *testing.T) {
	for _, c := range []struct {
		name string
		at   []Interval
		want Interval
		n    int
	}{
		{"one", []Interval{{1, 2}}, Interval{1, 2}, 1},
		{"two that overlap", []Interval{{0, 2}, {1, 3}}, Interval{1, 2}, 2},
		{"two that touch", []Interval{{0, 1}, {1, 2}}, Interval{1, 1}, 2},
		{"one liar", []Interval{{0, 2}, {1, 3}, {9, 10}}, Interval{1, 2}, 2},
		{"a wide one over two apart", []Interval{{0, 1}, {5, 6}, {0, 6}}, Interval{0, 1}, 2},
	} {
		if got, n := Agree(c.at); got != c.want || n != c.n {
			t.Errorf("%s: %v by %d", c.name, got, n)
		}
	}
}

func TestQuerySumsUp(t *testing.T) {
	good, far, mute := newServer(t, fault{}), newServer(t, fault{offset: time.Hour}), newServer(t, fault{silent: true})
	var targets []Target
	for _, s := range []*server{good, good, far, mute} {
		targets = append(targets, Target{Host: "127.0.0.1", Port: s.addr().Port()})
	}
	r := Summarise(Query(t.Context(), targets, QueryOptions{Timeout: quick, Count: 2, Interval: time.Millisecond}), true)
	if r.Status != Critical || len(r.Servers) != 4 || r.Servers[3].Severity != Critical || r.Servers[0].Received != 2 {
		t.Errorf("%+v", r)
	}
	if c := r.Compare; c.Servers != 3 || c.Agreeing != 2 || len(c.Disagree) != 1 || *c.Spread < 3000 {
		t.Errorf("%+v", c)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "2 of 3 servers agree") || !strings.Contains(text.String(), "no answer to 48 octets") {
		t.Errorf("%v\n%s", err, &text)
	}
	if r := Summarise(Query(t.Context(), targets[1:3], QueryOptions{Timeout: patient}), true); r.Status != Warning {
		t.Errorf("servers that disagree are %v", r.Status)
	}
}
