package client

import (
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"pgregory.net/rapid"
)

// The start of an association: four polls 2 s apart, then the minimum.
func TestBurst(t *testing.T) {
	b := newBench(t, false)
	var last proto.Instant
	for i := range 12 {
		b.poll()
		if i > 0 {
			gap := b.mono.Sub(last)
			want := 2 * time.Second
			if i >= quickStart {
				want = 16 * time.Second
			}
			if gap < want+want/100 || gap > want+want/20 {
				t.Errorf("poll %d came after %v, want %v and 1 to 5 %% more", i, gap, want)
			}
		}
		last = b.mono
		b.receive(b.answer())
	}
}

// A discipline that always wants the next poll soon gets eight polls 2 s apart,
// and then as many as keep the average at 8 s.
func TestSoon(t *testing.T) {
	b := newBench(t, false)
	var gaps []int
	var first, last proto.Instant
	for len(gaps) < 30 {
		b.mono = max(b.mono, b.a.Deadline())
		o, err := b.a.Advance(b.now(), 4, true)
		if err != nil {
			t.Fatal(err)
		}
		if o.Request == nil {
			continue
		}
		if last == 0 {
			first = b.mono
		} else {
			gaps = append(gaps, int(b.mono.Sub(last)/time.Second))
		}
		last, b.request = b.mono, o.Request
		b.receive(b.answer())
	}
	if want := []int{2, 2, 2, 2, 2, 2, 2, 16}; !slices.Equal(gaps[:8], want) {
		t.Errorf("gaps %v, want %v first", gaps, want)
	}
	if mean := last.Sub(first) / time.Duration(len(gaps)); mean < 6*time.Second || mean > 8*time.Second {
		t.Errorf("gaps %v, %v on average with the start", gaps, mean)
	}
}

func TestNothingIsDueEarly(t *testing.T) {
	b := newBench(t, false)
	b.round()
	b.wait(time.Second)
	if o := b.advance(); o.Request != nil || o.Closed {
		t.Errorf("between polls: %+v", o)
	}
	b.poll()
	b.wait(oneWay)
	if o := b.advance(); o.Request != nil || o.Closed {
		t.Errorf("in flight: %+v", o)
	}
	b.round()
}

// A poll that is brought forward ends the exchange before it.
func TestPollSoonInFlight(t *testing.T) {
	b := newBench(t, false)
	for range 8 {
		b.round()
	}
	b.poll()
	b.a.PollSoon(b.mono)
	b.wait(quickInterval)
	if o := b.advance(); o.Request == nil || !o.Closed {
		t.Errorf("gave %+v", o)
	}
	if o := b.receive(b.answer()); o.Verdict != Accepted {
		t.Errorf("its reply: %+v", o)
	}
}

// A server that never answers is not hammered.
func TestBurstEndsWithoutAnswers(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	first := b.mono
	for range 4 {
		b.poll()
	}
	if d := b.mono.Sub(first); d < 3*quickInterval+16*time.Second {
		t.Errorf("five polls without an answer within %v", d)
	}
}

func TestUnreachable(t *testing.T) {
	b := newBench(t, false)
	for range 3 {
		if b.poll(); b.a.Unreachable() {
			t.Fatalf("unreachable with %d polls missed", b.a.Unanswered())
		}
	}
	if b.end(); !b.a.Unreachable() || b.a.Unanswered() != 3 {
		t.Errorf("three polls never answered: %d", b.a.Unanswered())
	}
	b.round()
	if b.a.Unreachable() {
		t.Error("unreachable although it answers")
	}
	for range 8 {
		if b.poll(); b.a.Unreachable() {
			t.Fatalf("unreachable with %d polls missed", b.a.Unanswered())
		}
	}
	if b.end(); !b.a.Unreachable() || b.a.Reach() != 0 || b.a.Unanswered() != 8 {
		t.Errorf("eight polls missed: %d, reach %b", b.a.Unanswered(), b.a.Reach())
	}
	for range 3 {
		b.poll()
	}
	if b.a.Unanswered() != 8 {
		t.Errorf("counts on to %d", b.a.Unanswered())
	}
}

func TestReachRegister(t *testing.T) {
	b := newBench(t, false)
	var want uint8
	for _, answered := range []bool{true, false, true, true, false, true, true, true, true, false} {
		b.poll()
		want <<= 1
		if answered {
			b.receive(b.answer())
			want |= 1
		}
		if b.a.Reach() != want {
			t.Fatalf("reach %08b, want %08b", b.a.Reach(), want)
		}
	}
}

func TestSendFailed(t *testing.T) {
	b := newBench(t, false)
	b.round()
	b.poll()
	if o := b.a.SendFailed(); !o.Closed {
		t.Errorf("gave %+v", o)
	}
	if o := b.a.SendFailed(); o.Closed {
		t.Errorf("again gave %+v", o)
	}
	if o := b.receive(b.header(nil)); o.Verdict != Unsolicited || b.a.Reach() != 0b10 {
		t.Errorf("%v, reach %b", o.Verdict, b.a.Reach())
	}
	b.round()
}

func TestPollSoon(t *testing.T) {
	b := newBench(t, false)
	for range 8 {
		b.round()
	}
	b.wait(100 * time.Millisecond)
	b.a.PollSoon(b.mono)
	if d := b.a.Deadline().Sub(b.a.last); d != quickInterval {
		t.Errorf("polls %v after the last", d)
	}
	b.wait(10 * time.Second)
	b.a.PollSoon(b.mono)
	if b.a.Deadline() > b.mono {
		t.Error("waits although the last poll is long ago")
	}
	// Asked all the time, it still does not exceed what servers allow.
	n := 0
	for end := b.mono.Add(100 * time.Second); b.mono < end; n++ {
		b.round()
		b.a.PollSoon(b.mono)
	}
	if n > 20 {
		t.Errorf("%d polls in 100 s", n)
	}
}

func TestConfigIsClamped(t *testing.T) {
	for _, tt := range []struct{ in, want Config }{
		{Config{-3, -1, -2}, Config{0, 0, 0}},
		{Config{20, 30, 25}, Config{17, 17, 17}},
		{Config{6, 4, 5}, Config{6, 6, 6}},
		{Config{4, 10, 2}, Config{4, 10, 4}},
		{Config{4, 10, 12}, Config{4, 10, 10}},
	} {
		if got := New(tt.in, nil, nil, proto.Now{}, seed(0)).cfg; got != tt.want {
			t.Errorf("%v became %v, want %v", tt.in, got, tt.want)
		}
	}
}

// limiter is the rate limit of ntpd's "restrict limited" with its defaults: at
// least 2 s between packets, and 8 s on average, with room for 64 s.
type limiter struct {
	last proto.Instant
	leak time.Duration
	used bool
}

func (l *limiter) allows(now proto.Instant) bool {
	gap := now.Sub(l.last)
	if !l.used {
		gap = time.Hour
	}
	l.used, l.last = true, now
	l.leak = max(0, l.leak-gap)
	if gap < 2*time.Second || l.leak >= 64*time.Second {
		return false
	}
	l.leak += 8 * time.Second
	return true
}

// Whatever the discipline asks for and whichever replies are lost, a server
// with the common rate limit has no reason to say RATE, and polls are never
// closer than 2 s.
func TestPollsDrawNoRate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, false)
		lossy := rapid.IntRange(0, 3).Draw(rt, "lossy")
		var l limiter
		for i := range 60 {
			b.mono = max(b.mono, b.a.Deadline())
			o, err := b.a.Advance(b.now(), rapid.Int8Range(-128, 127).Draw(rt, "desired"), rapid.Bool().Draw(rt, "soon"))
			if err != nil {
				rt.Fatal(err)
			}
			if o.Request == nil {
				continue
			}
			b.request = o.Request
			if !l.allows(b.mono) {
				rt.Fatalf("poll %d draws a RATE", i)
			}
			if rapid.IntRange(0, 3).Draw(rt, "lost") >= lossy {
				b.receive(b.answer())
			}
			if rapid.IntRange(0, 9).Draw(rt, "event") == 0 {
				b.wait(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
				b.a.PollSoon(b.mono)
			}
		}
	})
}

// The interval is what the discipline wants within the limits, and jitter only
// lengthens it.
func TestInterval(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lo := rapid.Int8Range(0, 17).Draw(rt, "min")
		hi := rapid.Int8Range(lo, 17).Draw(rt, "max")
		desired := rapid.Int8().Draw(rt, "desired")
		a := New(Config{PollMin: lo, PollMax: hi, PollStart: lo}, nil, nil, proto.Now{Wall: wall}, seed(rapid.Byte().Draw(rt, "seed")))
		a.polls = quickStart
		d, exponent, err := a.interval(0, desired, false)
		if want := min(max(desired, lo), hi); err != nil || exponent != want {
			rt.Fatalf("exponent %d, want %d, %v", exponent, want, err)
		}
		if base := time.Second << exponent; d < base+base/100 || d > base+base/20 {
			rt.Fatalf("%v at exponent %d", d, exponent)
		}
	})
}
