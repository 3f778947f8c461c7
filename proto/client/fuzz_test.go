package client

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// FuzzClientReceive feeds an association with a request in flight.
//
// As it is, the input is from someone without keys: to a protected association
// it changes nothing, except that a NAK with the right origin and unique
// identifier is remembered. Then the same octets come from a hostile server:
// they become the header and the plaintext of a packet that is sealed with the
// right key. That may do what a server may do, and no more.
func FuzzClientReceive(f *testing.F) {
	b := newBench(f, true)
	b.poll()
	f.Add(b.answer())
	f.Add(b.header(nil))
	f.Add(b.nak())
	f.Add(b.sealed(kiss("DENY")))
	f.Add(b.request)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t, true)
		b.contents.S2C = key(0x77) // the corpus was sealed under another
		b.a.Rekey(b.keys(b.contents), b.cookies(8))
		b.poll()
		b.wait(2 * oneWay)
		before := b.state()
		o := b.receive(data)
		after := b.state()
		if o.Verdict == KissNTSN {
			after.flight.nak = false
		}
		if o.Measured || o.Closed || o.Verdict == Accepted || !reflect.DeepEqual(before, after) {
			t.Fatalf("unauthenticated input gave %+v", o)
		}
		// Aimed better: with the right origin and unique identifier.
		aimed := bytes.Clone(data)
		if len(aimed) >= proto.HeaderLen {
			aimed[0] = aimed[0]&0xc0 | 4<<3 | 4
			copy(aimed[24:32], b.request[40:48])
			if o := b.receive(aimed); o.Measured || o.Closed {
				t.Fatalf("aimed input gave %+v", o)
			}
			b.a.flight.nak = false
			if !reflect.DeepEqual(before, b.state()) {
				t.Fatal("aimed input changed something")
			}
			aimed = field(t, aimed[:proto.HeaderLen:proto.HeaderLen], proto.FieldUniqueIdentifier, b.uniqueID())
			hostile(t, b, b.seal(aimed, pad(data[proto.HeaderLen:])))
		}
		checkPlain(t, data)
	})
}

// pad makes a plaintext of a length that fits a field.
func pad(b []byte) []byte { return b[:min(len(b), 1<<12)] }

// hostile checks what a server that has the keys can do with one packet.
func hostile(t *testing.T, b *bench, packet []byte) {
	poll := b.a.Poll()
	o := b.receive(packet)
	if n := b.a.Cookies(); n > cookie.JarSize {
		t.Fatalf("%d cookies", n)
	}
	m := o.Measurement
	if o.Measured && (m.T3.Before(m.T2) || m.RootDelay < 0 || m.RootDispersion < 0 || m.Stratum < 1 || m.Stratum > 15 || m.Leap > 2) {
		t.Fatalf("measurement %+v", m)
	}
	if b.a.Poll() > poll+1 && !b.a.Demobilised() {
		t.Fatalf("poll exponent %d after %d", b.a.Poll(), poll)
	}
	if o := b.receive(packet); o.Measured || len(packet) <= maxReply && o.Verdict == Accepted {
		t.Fatalf("the same again gave %+v", o)
	}
	if b.a.Demobilised() {
		return
	}
	// Whatever came, the next request is a protected one that fits.
	b.mono = max(b.mono, b.a.Deadline())
	for range 3 {
		if o := b.advance(); o.Request != nil {
			if len(o.Request) > 1232 || len(o.Request) <= proto.HeaderLen {
				t.Fatalf("request of %d octets", len(o.Request))
			}
			return
		}
		b.mono = max(b.mono, b.a.Deadline())
	}
}

// checkPlain feeds a plain association: what does not repeat the origin
// changes nothing.
func checkPlain(t *testing.T, data []byte) {
	b := newBench(t, false)
	b.poll()
	before := b.state()
	o := b.receive(data)
	if o.Verdict <= BadAuthenticator && o.Verdict != Accepted && !reflect.DeepEqual(before, b.state()) {
		t.Fatalf("dropped input gave %+v", o)
	}
	if o.Verdict == Accepted && !bytes.Equal(data[24:32], b.request[40:48]) {
		t.Fatal("accepted without the origin")
	}
}
