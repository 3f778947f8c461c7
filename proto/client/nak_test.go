package client

import "testing"

// RFC 8915 section 5.7: "Upon reception of the NTS NAK kiss code, the client
// SHOULD wait until the next poll for a valid NTS-protected response, and if
// none is received, initiate a fresh NTS-KE handshake [...] As long as the
// NTS-KE handshake has not succeeded, the client SHOULD continue polling the
// NTP server using the cookies and parameters it has."
func TestNAKWaitsForAValidReply(t *testing.T) {
	t.Run("valid reply comes", func(t *testing.T) {
		b := newBench(t, true)
		b.poll()
		if o := b.receive(b.nak()); o.Verdict != KissNTSN || o.Closed || b.a.NeedsKeys() {
			t.Fatalf("NAK gave %+v", o)
		}
		if o := b.receive(b.answer()); o.Verdict != Accepted || b.a.NeedsKeys() {
			t.Errorf("then %+v", o)
		}
		b.round()
		if b.a.NeedsKeys() {
			t.Error("asks for keys although the server accepts these")
		}
	})
	t.Run("none comes", func(t *testing.T) {
		b := newBench(t, true)
		b.round()
		b.poll()
		b.receive(b.nak())
		if b.a.NeedsKeys() {
			t.Error("asks for keys at once")
		}
		b.mono = b.a.Deadline() // of the reply
		if o := b.advance(); !o.Closed || o.Request != nil || b.a.NeedsKeys() {
			t.Error("asks for keys before the next poll")
		}
		held := b.a.Cookies()
		if request := b.poll(); len(fields(t, request)) < 3 || !b.a.NeedsKeys() || b.a.Cookies() != held-1 {
			t.Errorf("goes on polling with %d cookies, needs keys %v", b.a.Cookies(), b.a.NeedsKeys())
		}
		// A valid reply later shows that the NAK was forged.
		if o := b.receive(b.answer()); o.Verdict != Accepted || b.a.NeedsKeys() {
			t.Errorf("then %+v", o)
		}
	})
}

// A NAK was all that came of a poll, and the next poll gets a valid reply: it was
// forged, and what stays unanswered afterwards is silence.
func TestForgottenNAKStaysForgotten(t *testing.T) {
	b := newBench(t, true)
	b.round()
	b.poll()
	b.receive(b.nak())
	b.mono = b.a.Deadline()
	b.advance() // the exchange is over, the next poll has not come
	b.round()
	for range 5 {
		b.poll() // unanswered: silence is no NAK
		if b.a.NeedsKeys() {
			t.Fatal("asks for keys after a valid reply")
		}
	}
}

// A request that did not leave showed its cookie to nobody, so a night without
// a network costs none. Keys that came meanwhile have their own cookies.
func TestCookieOfAnUnsentRequestIsUnused(t *testing.T) {
	b := newBench(t, true)
	for range 20 {
		b.poll()
		if o := b.a.SendFailed(); !o.Closed || b.a.Cookies() != 8 {
			t.Fatalf("%d cookies, %+v", b.a.Cookies(), o)
		}
	}
	b.poll()
	b.a.Rekey(b.keys(b.contents), b.cookies(3))
	b.a.SendFailed()
	if n := b.a.Cookies(); n != 3 {
		t.Errorf("%d cookies after new keys", n)
	}
	b.poll()
	b.receive(b.answer())
	held := b.a.Cookies()
	b.a.SendFailed() // reported late: it was answered
	if n := b.a.Cookies(); n != held {
		t.Errorf("%d cookies, had %d", n, held)
	}
}
