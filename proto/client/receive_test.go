package client

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

func TestExchange(t *testing.T) {
	b := newBench(t, false)
	b.snapshot.Leap = proto.LeapInsert
	o := b.round()
	m := o.Measurement
	if d := m.T4.At.Sub(m.T1.At).Std(); d != 2*oneWay {
		t.Errorf("round trip %v, want %v", d, 2*oneWay)
	}
	if d := m.T2.Sub(m.T1.At).Std(); d != oneWay {
		t.Errorf("way there %v, want %v", d, oneWay)
	}
	if m.Stratum != 1 || m.Leap != proto.LeapInsert || m.Precision != -20 ||
		m.RootDelay != b.snapshot.RootDelay.Abs()&^0xffff+1<<16 {
		t.Errorf("measurement %+v", m)
	}
	if b.a.Reach() != 1 || b.a.Unanswered() != 0 || !b.a.Answered() || b.a.Unreachable() {
		t.Errorf("reach %b unanswered %d", b.a.Reach(), b.a.Unanswered())
	}
	second := b.round().Measurement
	if last := b.a.Last(); last[0].Exchange != second || last[1].Exchange != m {
		t.Errorf("the last two exchanges are %+v", last)
	}
}

// A reply to a plain request: each change to a good one gives its verdict and
// changes nothing.
func TestPlainReplyIsJudged(t *testing.T) {
	year := 365 * 86400 * proto.Second
	tests := []struct {
		name string
		edit func(*proto.Header)
		tail []byte
		want Verdict
	}{
		{name: "good", want: Accepted},
		{name: "version 3", edit: func(h *proto.Header) { h.Version = 3 }, want: Accepted},
		{name: "version 2", edit: func(h *proto.Header) { h.Version = 2 }, want: WrongVersion},
		{name: "version 5", edit: func(h *proto.Header) { h.Version = 5 }, want: WrongVersion},
		{name: "version 0", edit: func(h *proto.Header) { h.Version = 0 }, want: WrongVersion},
		{name: "symmetric active", edit: func(h *proto.Header) { h.Mode = proto.ModeSymmetricActive }, want: WrongMode},
		{name: "symmetric passive", edit: func(h *proto.Header) { h.Mode = proto.ModeSymmetricPassive }, want: WrongMode},
		{name: "client", edit: func(h *proto.Header) { h.Mode = proto.ModeClient }, want: WrongMode},
		{name: "broadcast", edit: func(h *proto.Header) { h.Mode = proto.ModeBroadcast }, want: WrongMode},
		{name: "control", edit: func(h *proto.Header) { h.Mode = proto.ModeControl }, want: WrongMode},
		{name: "private", edit: func(h *proto.Header) { h.Mode = proto.ModePrivate }, want: WrongMode},
		{name: "origin zero", edit: func(h *proto.Header) { h.Origin = 0 }, want: BadOrigin},
		{name: "origin off by one", edit: func(h *proto.Header) { h.Origin++ }, want: BadOrigin},
		{name: "origin in transmit", edit: func(h *proto.Header) { h.Transmit, h.Origin = h.Origin, h.Transmit }, want: BadOrigin},
		{name: "crypto-NAK", tail: make([]byte, 4), want: BadAuthenticator},
		{name: "digest", tail: make([]byte, 20), want: BadAuthenticator},
		{name: "long digest", tail: make([]byte, 24), want: BadAuthenticator},
		{name: "odd tail", tail: make([]byte, 7), want: Malformed},
		{name: "bad field", tail: bytes.Repeat([]byte{0xff}, 32), want: Malformed},
		{name: "stratum 17", edit: func(h *proto.Header) { h.Stratum = 17 }, want: BadStratum},
		{name: "stratum 255", edit: func(h *proto.Header) { h.Stratum = 255 }, want: BadStratum},
		{name: "no receive time", edit: func(h *proto.Header) { h.Receive = 0 }, want: BadTimes},
		{name: "no transmit time", edit: func(h *proto.Header) { h.Transmit = 0 }, want: BadTimes},
		{name: "received at zero", edit: func(h *proto.Header) { h.Receive, h.Transmit = 0, 1<<32 }, want: BadTimes},
		{name: "sent at zero", edit: func(h *proto.Header) { h.Receive, h.Transmit = ^proto.Timestamp(0), 0 }, want: BadTimes},
		{name: "sent before received", edit: func(h *proto.Header) { h.Receive++ }, want: BadTimes},
		{name: "held four seconds", edit: func(h *proto.Header) { h.Receive = h.Transmit.Add(-maxHold - 1) }, want: BadTimes},
		{name: "years apart", edit: func(h *proto.Header) { h.Receive = h.Transmit.Add(-year) }, want: BadTimes},
		{name: "root delay 32 s", edit: func(h *proto.Header) { h.RootDelay = 32 << 16 }, want: BadRoot},
		{name: "root dispersion 16 s", edit: func(h *proto.Header) { h.RootDispersion = 16 << 16 }, want: BadRoot},
		{name: "largest roots", edit: func(h *proto.Header) { h.RootDelay, h.RootDispersion = ^proto.Short(0), ^proto.Short(0) }, want: BadRoot},
		{name: "kiss of nothing", edit: func(h *proto.Header) { h.Stratum = 0 }, want: KissOther},
		{name: "kiss of control characters", edit: kiss("\x1b[2J"), want: KissOther},
		{name: "kiss NTSN without NTS", edit: kiss("NTSN"), want: KissOther},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, false)
			b.poll()
			b.wait(2 * oneWay)
			before := b.state()
			o := b.receive(append(b.header(tt.edit), tt.tail...))
			if o.Verdict != tt.want || b.a.Counts().Of(tt.want) != 1 {
				t.Fatalf("verdict %v, want %v", o.Verdict, tt.want)
			}
			if tt.want == Accepted {
				if !o.Measured {
					t.Error("no measurement")
				}
				return
			}
			if o.Measured || o.Closed || !reflect.DeepEqual(before, b.state()) {
				t.Error("a dropped packet changed something")
			}
			// The true reply is still welcome.
			if o := b.receive(b.header(nil)); o.Verdict != Accepted || !o.Measured {
				t.Errorf("the true reply then gave %+v", o)
			}
		})
	}
}

func TestLengths(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	good := b.header(nil)
	for n := range proto.HeaderLen {
		if o := b.receive(good[:n]); o.Verdict != Short {
			t.Fatalf("%d octets: %v", n, o.Verdict)
		}
	}
	if o := b.receive(make([]byte, maxReply+1)); o.Verdict != Long {
		t.Errorf("a huge datagram: %v", o.Verdict)
	}
	// An extension field that we did not ask for does no harm.
	if o := b.receive(field(t, good, 0x4242, make([]byte, 40))); o.Verdict != Accepted {
		t.Errorf("with an unknown field: %v", o.Verdict)
	}
}

// RFC 5905 section 8: no exchange, no reply; one exchange, one reply.
func TestOneReplyPerRequest(t *testing.T) {
	b := newBench(t, false)
	if o := b.receive(make([]byte, proto.HeaderLen)); o.Verdict != WrongVersion {
		t.Errorf("zeros before any request: %v", o.Verdict)
	}
	h := proto.Header{Version: 4, Mode: proto.ModeServer, Stratum: 1}
	if o := b.receive(h.Append(nil)); o.Verdict != Unsolicited {
		t.Errorf("origin zero before any request: %v", o.Verdict)
	}
	b.poll()
	reply := b.answer()
	if o := b.receive(reply); o.Verdict != Accepted {
		t.Fatalf("reply: %v", o.Verdict)
	}
	before := b.state()
	for range 3 {
		if o := b.receive(reply); o.Verdict != Unsolicited || o.Measured {
			t.Errorf("duplicate: %+v", o)
		}
	}
	b.receive(b.header(func(h *proto.Header) { h.Origin = 0 }))
	if !reflect.DeepEqual(before, b.state()) {
		t.Error("duplicates changed something")
	}
	b.poll()
	if o := b.receive(reply); o.Verdict != BadOrigin {
		t.Errorf("replay in the next exchange: %v", o.Verdict)
	}
}

func TestLateReply(t *testing.T) {
	b := newBench(t, false)
	for range quickStart { // past the burst, whose window is shorter
		b.round()
	}
	b.poll()
	if d := b.a.Deadline().Sub(b.mono); d != replyWindow {
		t.Errorf("waits %v for a reply", d)
	}
	b.wait(replyWindow + 1)
	if o := b.receive(b.header(nil)); o.Verdict != Late || o.Measured {
		t.Errorf("5 s later: %+v", o)
	}
	if o := b.advance(); !o.Closed || o.Request != nil {
		t.Errorf("at the end of the window: %+v", o)
	}
	if o := b.receive(b.header(nil)); o.Verdict != Unsolicited {
		t.Errorf("after the window: %v", o.Verdict)
	}
}

// The window ends with the next poll when that comes first.
func TestWindowIsShorterThanThePoll(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	if d := b.a.Deadline().Sub(b.mono); d < quickInterval || d > 3*time.Second {
		t.Fatalf("window of %v in a burst", d)
	}
	old := b.header(nil)
	b.poll()
	if o := b.receive(old); o.Verdict != BadOrigin {
		t.Errorf("reply to the request before: %v", o.Verdict)
	}
}

func TestReplyOvertakesTransmitStamp(t *testing.T) {
	t.Run("stamp arrives", func(t *testing.T) {
		b := newBench(t, false)
		b.advance()
		sent := proto.Stamp{At: b.now().Wall.Add(proto.FromStd(100 * time.Microsecond)), Source: proto.StampKernel}
		if o := b.receive(b.answer()); o.Verdict != Accepted || o.Measured || o.Closed {
			t.Fatalf("reply without a stamp: %+v", o)
		}
		if d := b.a.Deadline().Sub(b.mono); d != stampWait {
			t.Errorf("waits %v", d)
		}
		b.wait(stampWait / 2)
		o := b.a.Sent(b.now(), sent)
		if !o.Measured || !o.Closed || o.Measurement.T1 != sent {
			t.Errorf("stamp gave %+v", o)
		}
	})
	t.Run("stamp is lost", func(t *testing.T) {
		b := newBench(t, false)
		b.advance()
		began := b.now().Wall
		b.receive(b.answer())
		b.wait(stampWait)
		o := b.advance()
		if !o.Measured || !o.Closed || o.Measurement.T1 != (proto.Stamp{At: began, Source: proto.StampDaemon}) {
			t.Errorf("timeout gave %+v", o)
		}
		if o := b.a.Sent(b.now(), b.stamp()); o.Measured || o.Closed {
			t.Errorf("stamp after the timeout gave %+v", o)
		}
	})
	t.Run("better stamp replaces", func(t *testing.T) {
		b := newBench(t, false)
		b.advance()
		at := b.now().Wall
		b.a.Sent(b.now(), proto.Stamp{At: at + 3, Source: proto.StampKernel})
		b.a.Sent(b.now(), proto.Stamp{At: at + 2, Source: proto.StampDaemon})
		b.a.Sent(b.now(), proto.Stamp{At: at + 4, Source: proto.StampHardware})
		b.a.Sent(b.now(), proto.Stamp{})
		if o := b.receive(b.answer()); o.Measurement.T1.At != at+4 {
			t.Errorf("used %+v", o.Measurement.T1)
		}
	})
}

func TestNoStampIsNoStamp(t *testing.T) {
	b := newBench(t, false)
	b.advance()
	b.a.Sent(b.now(), proto.Stamp{At: 12345})
	if o := b.receive(b.answer()); o.Measured || o.Closed {
		t.Errorf("used a stamp of nobody: %+v", o)
	}
}

func TestImpossibleDelays(t *testing.T) {
	for name, off := range map[string]proto.Duration{
		"just before the request": proto.FromStd(2*oneWay + 100*time.Microsecond),
		"long ago":                -proto.FromStd(replyWindow + time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, false)
			b.advance()
			b.a.Sent(b.now(), proto.Stamp{At: b.now().Wall.Add(off), Source: proto.StampKernel})
			if o := b.receive(b.answer()); o.Measured || !o.Closed || b.a.Counts().Of(BadDelay) != 1 {
				t.Errorf("gave %+v", o)
			}
		})
	}
	t.Run("reply before request", func(t *testing.T) {
		b := newBench(t, false)
		b.advance()
		b.a.Sent(b.now(), proto.Stamp{At: b.now().Wall.Add(proto.Second), Source: proto.StampKernel})
		if o := b.receive(b.answer()); o.Measured || !o.Closed || b.a.Counts().Of(BadDelay) != 1 {
			t.Errorf("gave %+v", o)
		}
	})
	t.Run("held longer than the round trip", func(t *testing.T) {
		b := newBench(t, false)
		b.poll()
		b.wait(2 * oneWay)
		reply := b.header(func(h *proto.Header) { h.Transmit = h.Receive.Add(proto.Second) })
		if o := b.receive(reply); o.Measured || b.a.Counts().Of(BadDelay) != 1 {
			t.Errorf("gave %+v", o)
		}
	})
}

func TestClockMovedInFlight(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	b.a.ClockMoved(b.mono)
	o := b.receive(b.answer())
	if o.Measured || !o.Closed || !o.Answered || b.a.Reach() != 1 || b.a.Counts().Of(Straddled) != 1 {
		t.Errorf("straddling exchange gave %+v", o)
	}
	b.a.ClockMoved(b.mono) // between exchanges: nothing to drop
	b.round()
	b.poll()
	b.a.ClockMoved(b.mono - 1) // reported late: it was before the request
	if o := b.receive(b.answer()); !o.Measured {
		t.Errorf("exchange after the step gave %+v", o)
	}
}

func TestUnsynchronisedServer(t *testing.T) {
	for _, edit := range []func(*proto.Header){
		func(h *proto.Header) { h.Leap = proto.LeapUnsynchronised },
		func(h *proto.Header) { h.Stratum = 16 },
	} {
		b := newBench(t, false)
		b.poll()
		o := b.receive(b.header(edit))
		if o.Verdict != Unsynchronised || o.Measured || !o.Closed || !o.Answered || b.a.Reach() != 1 {
			t.Errorf("gave %+v, reach %b", o, b.a.Reach())
		}
	}
}

// Requests tell nothing about the client: only the transmit field differs
// between them, and it is random.
func TestRequestsAreAnonymous(t *testing.T) {
	const n = 4000
	var ones [64]int
	seen := map[uint64]bool{}
	for i := range n {
		a := New(Config{PollMin: 4, PollMax: 10, PollStart: 4}, nil, nil, proto.Now{Wall: wall}, rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}))
		o, err := a.Advance(proto.Now{Wall: wall}, 4, false)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := proto.ParseHeader(o.Request)
		nonce := uint64(h.Transmit)
		if h.Transmit = 0; h != (proto.Header{Version: 4, Mode: proto.ModeClient}) || len(o.Request) != proto.HeaderLen {
			t.Fatalf("request %x", o.Request)
		}
		if seen[nonce] || proto.Timestamp(nonce).Sub(wall).Abs() < 3600*proto.Second {
			t.Fatalf("transmit field %x", nonce)
		}
		seen[nonce] = true
		for bit := range 64 {
			ones[bit] += int(nonce >> bit & 1)
		}
	}
	for bit, k := range ones { // five standard deviations
		if d := k - n/2; d*d > 25*n/4 {
			t.Errorf("bit %d is set %d times in %d", bit, k, n)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	for _, room := range []int{0, 7, 15, 40, 55} {
		b := newBench(t, true)
		b.a.entropy = bytes.NewReader(make([]byte, room))
		if o, err := b.a.Advance(b.now(), 4, false); err == nil || o.Request != nil {
			t.Errorf("%d octets of randomness: %+v, %v", room, o, err)
		}
	}
}

func TestVerdictNames(t *testing.T) {
	var names []string
	for v := Accepted; v < verdicts; v++ {
		names = append(names, v.String())
	}
	slices.Sort(names)
	if names[0] == "" || len(slices.Compact(names)) != int(verdicts) || verdicts.String() != "invalid" {
		t.Errorf("names %q", names)
	}
}
