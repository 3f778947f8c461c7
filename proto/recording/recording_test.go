package recording

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

var (
	anAddr = netip.MustParseAddrPort("192.0.2.1:123")
	aStamp = proto.Stamp{At: math.MaxUint64 - 3, Source: proto.StampKernel, Err: 7}
)

// everyEvent is one of each, with something in every kind of field.
var everyEvent = []engine.Event{
	engine.Sent{Exchange: math.MaxUint64, Stamp: aStamp},
	engine.SendFailed{Exchange: 2, Failure: engine.Failure{Class: engine.ClassNetwork, Text: "no \"route\"\n"}},
	engine.Received{Exchange: 3, From: anAddr, Payload: []byte{0, 255, 10}, Stamp: aStamp},
	engine.LookedUp{Request: 4, Addrs: []netip.Addr{anAddr.Addr(), netip.MustParseAddr("fe80::1%eth0")}},
	engine.Located{Request: 5, Records: []srv.Record{{Priority: 1, Weight: 2, Port: 3, Target: "a.test"}}, TTL: time.Hour},
	engine.KeyExchangeFailed{Request: 6, Failure: engine.Failure{Class: engine.ClassTLS, Text: "why"}},
	engine.Referenced{Source: 7},
	engine.ReferenceLost{Source: 8},
	engine.SteerApplied{Steer: 9, Applied: kalman.Applied{At: 1 << 63, Mono: math.MaxInt64, Adjustment: kalman.Adjustment{Step: -5, Frequency: 1.0 / 3, Slew: 5e-324, For: time.Minute}}},
	engine.SteerFailed{Steer: 10, Failure: engine.Failure{Class: engine.ClassOther, Text: "why"}},
	engine.Jumped{By: -proto.Second, Slept: time.Hour},
	engine.NetworkChanged{Local: []netip.Addr{anAddr.Addr()}},
	engine.Reconfigured{Config: engine.Config{
		Sources:  []engine.Source{{Name: "a", Mode: engine.ModePool, Host: "a", Port: 123, Count: 4, Ignore: []netip.Addr{anAddr.Addr()}, PollMin: 4, PollMax: 10, PollStart: 4}},
		Steering: true, Discipline: kalman.Config{AccumulatedSteps: proto.MaxDuration, Algorithm: kalman.Algorithm{StepThreshold: new(0.125)}},
	}},
	engine.Commanded{Verb: "accept-step"},
	engine.Ending{},
}

// What goes in comes out, to the last bit.
func TestEveryEventIsReadAsItWasWritten(t *testing.T) {
	if len(everyEvent)+2 != len(events) { // KeysEstablished and Restored change
		t.Fatalf("%d events of %d", len(everyEvent)+2, len(events))
	}
	r := NewRecorder([32]byte{1})
	file, err := r.Head(Head{Program: "p", Config: "[[source]]\n", Now: proto.Now{Mono: 5, Wall: 1 << 63}, Saved: engine.State{Frequency: 1e-6, SavedAt: time.Unix(1, 2).UTC()}})
	if err != nil {
		t.Fatal(err)
	}
	now := proto.Now{Mono: math.MaxInt64 - 1, Wall: math.MaxUint64}
	random := make([]byte, 3)
	for _, ev := range append([]engine.Event{nil}, everyEvent...) {
		if _, err := io.ReadFull(r.Entropy(bytes.NewReader([]byte{1, 2, 3, 4})), random); err != nil {
			t.Fatal(err)
		}
		line, err := r.Step(now, ev, []engine.Action{engine.Abandon{Exchange: 1}, engine.Halt{Reason: "r"}})
		if err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%T: %v %q", ev, err, line)
		}
		file = append(file, line...)
	}
	in, head, err := NewReader(bytes.NewReader(append(file, End("over")...)))
	if err != nil || head.Config != "[[source]]\n" || head.Now.Wall != 1<<63 || head.Saved.Frequency != 1e-6 {
		t.Fatalf("%v, %+v", err, head)
	}
	for i, ev := range append([]engine.Event{nil}, everyEvent...) {
		s, err := in.Next()
		if err != nil || !reflect.DeepEqual(s.Event, ev) || s.Now != now || !bytes.Equal(s.Random, random) || len(s.Actions) != 2 || in.Line() != i+2 {
			t.Fatalf("%T: %v\n%+v\n%+v", ev, err, s.Event, ev)
		}
		if a, err := DecodeAction(s.Actions[1]); err != nil || a != (engine.Halt{Reason: "r"}) {
			t.Errorf("%v, %v", a, err)
		}
	}
	if s, err := in.Next(); err != nil || s.End != "over" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

// Every action can be read, whatever it is.
func TestEveryActionIsReadAsItWasWritten(t *testing.T) {
	for name := range actions {
		a, err := DecodeAction([]byte(`{"` + name + `":{}}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Action(a)
		if err != nil || !strings.HasPrefix(string(b), `{"`+name+`":`) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
		if again, err := DecodeAction(b); err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", a) {
			t.Errorf("%s: %+v, %+v, %v", name, again, a, err)
		}
	}
}

// session makes keys known to a scrubber, as a key exchange does.
func sessionOf(t *testing.T, s *scrubber, cookies ...engine.Secret) (real, dummy engine.KeysEstablished) {
	t.Helper()
	real = engine.KeysEstablished{
		Algorithm: aead.AESSIVCMAC256, C2S: bytes.Repeat([]byte{1}, 32), S2C: bytes.Repeat([]byte{2}, 32), Cookies: cookies,
	}
	dummy = s.established(real)
	if bytes.Equal(real.C2S, dummy.C2S) || len(dummy.C2S) != 32 || len(dummy.Cookies) != len(cookies) {
		t.Fatalf("%x", []byte(dummy.C2S))
	}
	for i, c := range dummy.Cookies {
		if len(c) != len(cookies[i]) || len(c) > 3 && bytes.Equal(c, cookies[i]) {
			t.Fatalf("cookie %x of %x", []byte(c), []byte(cookies[i]))
		}
	}
	return real, dummy
}

func request(t *testing.T, key, c []byte) []byte {
	t.Helper()
	b := (&proto.Header{Version: 4, Mode: proto.ModeClient, Transmit: 5}).Append(nil)
	var err error
	for _, f := range []struct {
		t proto.FieldType
		v []byte
	}{{proto.FieldUniqueIdentifier, bytes.Repeat([]byte{9}, 32)}, {proto.FieldCookie, c}, {proto.FieldCookiePlaceholder, make([]byte, len(c))}} {
		if b, err = proto.AppendField(b, f.t, f.v, proto.MinFieldLen); err != nil {
			t.Fatal(err)
		}
	}
	a, err := aead.New(aead.AESSIVCMAC256, key)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = aead.AppendField(b, a, bytes.Repeat([]byte{7}, 16), nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// A request of which the secrets were removed is what a client makes that has
// the dummies: cookies of all lengths, those too that a request pads.
func TestARequestBecomesTheDummyClients(t *testing.T) {
	for n := 1; n <= 120; n++ {
		s := newScrubber([32]byte{4})
		c := bytes.Repeat([]byte{0xc0, byte(n)}, n)[:n]
		real, dummy := sessionOf(t, s, c)
		a, err := s.request(engine.Send{Exchange: 1, To: anAddr, Payload: request(t, real.C2S, c)})
		if err != nil {
			t.Fatal(err)
		}
		if want := request(t, dummy.C2S, dummy.Cookies[0]); !bytes.Equal(a.Payload, want) {
			t.Fatalf("cookie of %d octets:\n%x\n%x", n, a.Payload, want)
		}
	}
}

// Nothing is recorded of a request whose keys nobody knows.
func TestAnUnknownSecretEndsTheRecording(t *testing.T) {
	s := newScrubber([32]byte{4})
	_, _ = sessionOf(t, s)
	for name, payload := range map[string][]byte{
		"other keys": request(t, bytes.Repeat([]byte{3}, 32), make([]byte, 100)), "no packet": {1, 2, 3},
	} {
		if _, err := s.request(engine.Send{Exchange: 1, To: anAddr, Payload: payload}); !errors.Is(err, errSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := NewRecorder([32]byte{})
	if line, err := r.Step(proto.Now{}, nil, []engine.Action{engine.Send{To: anAddr, Payload: request(t, bytes.Repeat([]byte{3}, 32), make([]byte, 100))}}); err == nil || line != nil {
		t.Errorf("%q, %v", line, err)
	}
}

// What is remembered has a bound.
func TestMemoryIsBounded(t *testing.T) {
	s := newScrubber([32]byte{4})
	for i := range 3000 {
		c := fmt.Appendf(nil, "a cookie of odd length %6d", i)
		s.established(engine.KeysEstablished{
			Algorithm: aead.AESSIVCMAC256, C2S: fmt.Appendf(nil, "%32d", i), S2C: make([]byte, 32), Cookies: []engine.Secret{c},
		})
		a, err := s.action(engine.Send{Exchange: engine.ExchangeID(i), To: anAddr, Payload: request(t, fmt.Appendf(nil, "%32d", i), c)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.action(engine.Abandon{Exchange: a.(engine.Send).Exchange}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.sessions) != maxSessions || len(s.short) != maxShort || len(s.sent) != maxSent || len(s.flights) != 0 {
		t.Errorf("%d sessions, %d cookies, %d sent, %d in flight", len(s.sessions), len(s.short), len(s.sent), len(s.flights))
	}
}

// Two recordings of one run have nothing in common by which keys could be told.
func TestDummiesDependOnTheRecording(t *testing.T) {
	a, b := newScrubber([32]byte{1}), newScrubber([32]byte{2})
	if bytes.Equal(a.dummy('k', make([]byte, 32)), b.dummy('k', make([]byte, 32))) || bytes.Equal(a.dummy('k', make([]byte, 32)), a.dummy('c', make([]byte, 32))) {
		t.Error("the same")
	}
}

// A cookie that a server sends in the clear is replaced too, although nobody
// keeps it, and the datagram is left as it is.
func TestCookiesInTheClearAreReplaced(t *testing.T) {
	s := newScrubber([32]byte{4})
	c := bytes.Repeat([]byte{0xc0, 1, 2, 3}, 25)
	b, err := proto.AppendField((&proto.Header{Version: 4, Mode: proto.ModeServer}).Append(nil), proto.FieldCookie, c, proto.MinFieldLen)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	ev, ok := s.event(engine.Received{Exchange: 1, From: anAddr, Payload: b}).(engine.Received)
	if !ok || bytes.Contains(ev.Payload, c[:8]) || len(ev.Payload) != len(b) || !bytes.Equal(ev.Payload[:proto.HeaderLen+4], b[:proto.HeaderLen+4]) {
		t.Errorf("%x", ev.Payload)
	}
	if !bytes.Equal(b, before) {
		t.Error("the datagram was changed")
	}
}

// What was kept of sessions is recorded as what a key exchange gives is: the
// engine is told the same, with dummies for keys and cookies; and requests that
// are made with it can be freed of their secrets.
func TestRestoredSessionsAreRecordedWithoutSecrets(t *testing.T) {
	r := NewRecorder([32]byte{4})
	cookie := func(n byte) engine.Secret { return bytes.Repeat([]byte{0xc0, n}, 50) }
	real := engine.Restored{Sessions: []engine.Session{{
		For: engine.Asked{Mode: engine.ModeNTS, Host: "a.test", Port: 4460}, Trust: "system", Server: "b.test", Addr: anAddr, Remote: anAddr.Addr(),
		Algorithm: aead.AESSIVCMAC256, C2S: bytes.Repeat([]byte{1}, 32), S2C: bytes.Repeat([]byte{2}, 32),
		Cookies: []engine.Secret{cookie(1), cookie(2)}, Spare: []engine.Secret{cookie(3)}, At: time.Unix(5, 0).UTC(),
	}}}
	head, err := r.Head(Head{})
	if err != nil {
		t.Fatal(err)
	}
	sent := request(t, real.Sessions[0].C2S, cookie(1))
	kept := engine.Keep(real)
	line, err := r.Step(proto.Now{}, real, []engine.Action{engine.Send{Exchange: 1, To: anAddr, Payload: sent}, kept})
	if err != nil {
		t.Fatal(err)
	}
	in, _, err := NewReader(bytes.NewReader(append(head, line...)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := in.Next()
	got, ok := s.Event.(engine.Restored)
	if err != nil || !ok || len(got.Sessions) != 1 {
		t.Fatalf("%+v, %v", s.Event, err)
	}
	x := got.Sessions[0]
	for i, pair := range [][2]engine.Secret{
		{x.C2S, real.Sessions[0].C2S}, {x.S2C, real.Sessions[0].S2C}, {x.Cookies[0], cookie(1)}, {x.Cookies[1], cookie(2)}, {x.Spare[0], cookie(3)},
	} {
		if len(pair[0]) != len(pair[1]) || bytes.Equal(pair[0], pair[1]) {
			t.Errorf("secret %d: %x", i, []byte(pair[0]))
		}
	}
	var out engine.Send
	if a, err := DecodeAction(s.Actions[0]); err == nil {
		out, _ = a.(engine.Send)
	}
	if want := request(t, x.C2S, x.Cookies[0]); !bytes.Equal(out.Payload, want) {
		t.Errorf("the request is\n%x, not\n%x", out.Payload, want)
	}
	if bytes.Contains(line, []byte(base64.StdEncoding.EncodeToString(cookie(2))[:40])) || bytes.Count(s.Actions[1], []byte("secret")) != 5 {
		t.Errorf("%s", s.Actions[1])
	}
	if a, err := DecodeAction(s.Actions[1]); err != nil {
		t.Error(err)
	} else if again, err := Action(a); err != nil || !bytes.Equal(again, s.Actions[1]) {
		t.Errorf("read and written again: %s, %v", again, err)
	}
	x.C2S, x.S2C, x.Cookies, x.Spare = real.Sessions[0].C2S, real.Sessions[0].S2C, real.Sessions[0].Cookies, real.Sessions[0].Spare
	if !reflect.DeepEqual(x, real.Sessions[0]) {
		t.Errorf("%+v", x)
	}
}
