package client

import (
	"reflect"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// end lets the exchange in flight run out.
func (b *bench) end() Outcome {
	b.tb.Helper()
	b.mono = b.a.Deadline()
	return b.advance()
}

// RFC 5905 section 7.4: "For kiss codes DENY and RSTR, the client MUST
// demobilize any associations to that server and stop sending packets to that
// server".
func TestDenyAndRstrDemobilise(t *testing.T) {
	for _, code := range []string{"DENY", "RSTR"} {
		b := newBench(t, false)
		b.round()
		b.poll()
		if o := b.receive(b.header(kiss(code))); o.Verdict != KissDeny {
			t.Fatalf("%s: %v", code, o.Verdict)
		}
		if o := b.end(); !o.Closed || o.Request != nil || !b.a.Demobilised() || b.a.Deadline() != proto.Never {
			t.Errorf("%s: %+v, demobilised %v", code, o, b.a.Demobilised())
		}
		b.wait(time.Hour)
		if o := b.advance(); o.Request != nil {
			t.Errorf("%s: sent another request", code)
		}
	}
}

// Who can forge a kiss but not stop the true reply gets nothing.
func TestForgedKissLosesAgainstTheTrueReply(t *testing.T) {
	for _, code := range []string{"DENY", "RSTR", "RATE"} {
		b := newBench(t, false)
		b.poll()
		b.receive(b.header(kiss(code)))
		o := b.receive(b.answer())
		if !o.Measured || o.Slowed || b.a.Demobilised() {
			t.Errorf("%s: true reply gave %+v", code, o)
		}
		b.round()
		if b.a.Demobilised() || b.a.slowed {
			t.Errorf("%s: believed later", code)
		}
	}
}

// RFC 8633 section 5.4: "a client MUST only accept a KoD packet if it has a
// valid origin timestamp".
func TestKissNeedsOrigin(t *testing.T) {
	for _, code := range []string{"DENY", "RSTR", "RATE", "NTSN", "XFUN"} {
		b := newBench(t, false)
		b.poll()
		before := b.state()
		for _, origin := range []proto.Timestamp{0, 1, b.now().Wall} {
			o := b.receive(b.header(func(h *proto.Header) { kiss(code)(h); h.Origin = origin }))
			if o.Verdict != BadOrigin || !reflect.DeepEqual(before, b.state()) {
				t.Errorf("%s with origin %v: %v", code, origin, o.Verdict)
			}
		}
	}
}

// RFC 5905 section 7.4: "For kiss code RATE, the client MUST immediately
// reduce its polling interval to that server and continue to reduce it each
// time it receives a RATE kiss code." RFC 8633 section 5.4: it "MUST NOT
// simply accept any value".
func TestRateSlowsStepByStep(t *testing.T) {
	for _, poll := range []int8{17, 127, 0, -128} {
		b := newBench(t, false)
		for range 8 {
			b.round()
		}
		want := int8(4)
		for range 10 {
			b.poll()
			last := b.mono
			b.receive(b.header(func(h *proto.Header) { kiss("RATE")(h); h.Poll = poll }))
			o := b.end()
			want = min(want+1, 10)
			if !o.Slowed || b.a.Poll() != want {
				t.Fatalf("poll %d: %+v, exponent %d, want %d", poll, o, b.a.Poll(), want)
			}
			if gap := b.a.Deadline().Sub(last); gap < time.Second<<want {
				t.Fatalf("next poll after %v at exponent %d", gap, want)
			}
		}
		// It stays: even when the discipline would like to burst.
		b.mono = b.a.Deadline()
		if o, err := b.a.Advance(b.now(), 4, true); err != nil || o.Request == nil {
			t.Fatalf("%+v, %v", o, err)
		} else {
			b.request = o.Request
		}
		last := b.mono
		b.receive(b.answer())
		b.a.PollSoon(b.mono)
		b.wait(stampWait)
		b.advance()
		if gap := b.a.Deadline().Sub(last); gap < time.Second<<10 {
			t.Errorf("polls again after %v", gap)
		}
	}
}

// A burst ends with the first RATE, though the interval would allow one.
func TestNoBurstAfterRate(t *testing.T) {
	b := newBench(t, false)
	b.a.cfg.PollMax = 4 // RATE cannot raise the interval
	b.poll()
	b.receive(b.header(kiss("RATE")))
	b.end()
	for range 6 {
		b.mono = b.a.Deadline()
		o, err := b.a.Advance(b.now(), 4, true)
		if err != nil {
			t.Fatal(err)
		}
		if o.Request == nil {
			continue
		}
		b.request = o.Request
		last := b.mono
		b.receive(b.answer())
		b.wait(stampWait)
		b.advance()
		b.a.PollSoon(b.mono)
		if gap := b.a.Deadline().Sub(last); gap < 16*time.Second {
			t.Errorf("polls again after %v", gap)
		}
	}
}

// A shell that comes late still sends nothing to a server that said DENY.
func TestDenyWhenTheNextPollIsDueToo(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	b.receive(b.header(kiss("DENY")))
	b.wait(time.Hour)
	if o := b.advance(); o.Request != nil || !o.Closed || !b.a.Demobilised() {
		t.Errorf("gave %+v", o)
	}
}

func TestRateEndsTheBurst(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	last := b.mono
	b.receive(b.header(kiss("RATE")))
	b.end()
	if gap := b.a.Deadline().Sub(last); gap < 32*time.Second {
		t.Errorf("polls again after %v", gap)
	}
}

// RFC 5905 section 7.4: "Kiss codes beginning with the ASCII character "X"
// [...] MUST be ignored if not recognized."
func TestUnknownKissIsIgnored(t *testing.T) {
	for _, nts := range []bool{false, true} {
		for _, code := range []string{"XFUN", "STEP", "INIT", "\x00\xff\x1b\n"} {
			b := newBench(t, nts)
			b.round()
			b.poll()
			reply := b.header(kiss(code))
			if nts {
				reply = b.sealed(kiss(code))
			}
			o := b.receive(reply)
			if o.Verdict != KissOther || o.Measured || o.Answered || b.a.Demobilised() || b.a.slowed || b.a.NeedsKeys() {
				t.Errorf("%q: %+v", code, o)
			}
			if nts != o.Closed {
				t.Errorf("%q: an authentic packet is the reply, another is not: %+v", code, o)
			}
		}
	}
}

// RFC 5905 section 7.4: "The Receive Timestamp and the Transmit Timestamp
// [...] MUST NOT be relied upon to have valid values and MUST be discarded."
func TestKissGivesNoMeasurement(t *testing.T) {
	b := newBench(t, false)
	b.poll()
	b.receive(b.header(func(h *proto.Header) {
		kiss("RATE")(h)
		h.Receive = h.Receive.Add(365 * 86400 * proto.Second)
		h.Transmit = h.Receive
	}))
	if o := b.end(); o.Measured || b.a.Reach() != 0 || b.a.Server() != (Server{}) {
		t.Errorf("gave %+v, reach %b, server %+v", o, b.a.Reach(), b.a.Server())
	}
}
