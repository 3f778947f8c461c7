package client

import (
	"reflect"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A reply that overtook the transmit timestamp of its request is the only one: while the exchange waits for the
// timestamp, neither a copy of it nor a later time replaces it, with NTS or without.
func TestNothingReplacesAReplyThatWaits(t *testing.T) {
	for _, nts := range []bool{false, true} {
		b := newBench(t, nts)
		b.advance()
		sent := b.stamp()
		reply := b.answer()
		if o := b.receive(reply); o.Verdict != Accepted || o.Closed {
			t.Fatalf("nts %v: reply without a stamp: %+v", nts, o)
		}
		before := b.state()
		b.wait(stampWait / 4)
		later := func(h *proto.Header) {
			h.Receive, h.Transmit = h.Receive.Add(proto.Second), h.Transmit.Add(proto.Second)
		}
		forged := b.header(later)
		if nts {
			forged = b.sealed(later)
		}
		for _, datagram := range [][]byte{reply, forged, b.header(kiss("DENY")), b.header(kiss("RATE"))} {
			if o := b.receive(datagram); o.Verdict != Unsolicited || o.Measured || o.Closed {
				t.Errorf("nts %v: another reply: %+v", nts, o)
			}
		}
		if !reflect.DeepEqual(before, b.state()) {
			t.Errorf("nts %v: another reply changed something", nts)
		}
		o := b.a.Sent(b.now(), sent)
		h, err := proto.ParseHeader(reply)
		if err != nil || !o.Measured || o.Measurement.T2 != h.Receive || o.Measurement.T3 != h.Transmit {
			t.Errorf("nts %v: measured %+v of %v (%v)", nts, o, h, err)
		}
	}
}

// A kiss that nobody asked for changes nothing, at any moment of an association's life.
func TestKissWithoutARequest(t *testing.T) {
	for _, code := range []string{"DENY", "RSTR", "RATE"} {
		b := newBench(t, false)
		unasked := func(when string) {
			t.Helper()
			before := b.state()
			for _, origin := range []proto.Timestamp{0, 1, b.now().Wall} {
				h := proto.Header{Version: 4, Mode: proto.ModeServer, Leap: proto.LeapUnsynchronised, RefID: proto.RefIDText(code), Origin: origin, Poll: 17}
				if o := b.receive(h.Append(nil)); o.Verdict != Unsolicited && o.Verdict != BadOrigin || o.Closed || o.Slowed {
					t.Errorf("%s %s: %+v", code, when, o)
				}
			}
			if !reflect.DeepEqual(before, b.state()) {
				t.Errorf("%s %s changed something", code, when)
			}
		}
		unasked("before the first poll")
		b.round()
		unasked("after a reply")
		b.poll()
		unasked("while another reply is waited for")
		b.wait(time.Second)
		if o := b.receive(b.answer()); o.Verdict != Accepted {
			t.Errorf("the true reply after %s: %v", code, o.Verdict)
		}
	}
}

// Of any number of replies to a request, before and after the stamp of its
// sending is known, the first gives the measurement, and no other one gives any.
func TestTheFirstReplyIsTheOnlyOne(t *testing.T) {
	const replies = 3
	for when := range replies + 1 { // the stamp comes before the reply of this number
		b := newBench(t, false)
		b.advance()
		sent := b.stamp()
		var got []Outcome
		note := func(o Outcome) {
			if o.Measured {
				got = append(got, o)
			}
		}
		var first proto.Header
		for i := range replies {
			if i == when {
				note(b.a.Sent(b.now(), sent))
			}
			reply := b.header(func(h *proto.Header) {
				h.Receive, h.Transmit = h.Receive.Add(proto.Duration(i)*proto.Second/100), h.Transmit.Add(proto.Duration(i)*proto.Second/100)
			})
			if i == 0 {
				var err error
				if first, err = proto.ParseHeader(reply); err != nil {
					t.Fatal(err)
				}
			}
			note(b.receive(reply))
		}
		if when == replies {
			note(b.a.Sent(b.now(), sent))
		}
		if len(got) != 1 || got[0].Measurement.T2 != first.Receive {
			t.Errorf("stamped before reply %d: %d measurements, %+v", when, len(got), got)
		}
	}
}
