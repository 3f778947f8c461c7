package client

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// wall is the time on both clocks of the bench when its monotonic clock is 0.
var wall = proto.FromUnix(1_790_000_000, 0)

// bench is an association and a real responder on a network with a delay of
// 1 ms each way. Time moves only when a test says so.
type bench struct {
	tb       testing.TB
	a        *Association
	mono     proto.Instant
	entropy  *rand.ChaCha8
	keyset   *cookie.Keyset
	contents cookie.Contents
	server   *server.Responder
	snapshot server.TimeSnapshot
	request  []byte
}

const oneWay = time.Millisecond

func seed(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func newBench(tb testing.TB, nts bool) *bench {
	tb.Helper()
	b := &bench{
		tb: tb, entropy: seed(1), mono: 1000 * proto.Instant(time.Second),
		server: server.New(server.Config{Versions: server.Version3And4}, seed(2)),
		snapshot: server.TimeSnapshot{
			Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, ValidUntil: proto.Never,
			RootDelay: proto.Second / 1000, RootDispersion: proto.Second / 1000,
		},
	}
	cfg := Config{PollMin: 4, PollMax: 10, PollStart: 4}
	if !nts {
		b.a = New(cfg, nil, nil, b.now(), b.entropy)
		return b
	}
	b.contents = cookie.Contents{Algorithm: aead.AESSIVCMAC256, C2S: key(0xc5), S2C: key(0x5c)}
	var err error
	if b.keyset, err = cookie.NewKeyset(seed(3)); err != nil {
		tb.Fatal(err)
	}
	b.a = New(cfg, b.keys(b.contents), b.cookies(8), b.now(), b.entropy)
	return b
}

func key(fill byte) []byte {
	k := make([]byte, 32)
	for i := range k {
		k[i] = fill
	}
	return k
}

func (b *bench) keys(c cookie.Contents) *Keys {
	c2s, err := aead.New(c.Algorithm, c.C2S)
	if err != nil {
		b.tb.Fatal(err)
	}
	s2c, err := aead.New(c.Algorithm, c.S2C)
	if err != nil {
		b.tb.Fatal(err)
	}
	return &Keys{C2S: c2s, S2C: s2c}
}

func (b *bench) cookies(n int) [][]byte {
	var cs [][]byte
	r := seed(4)
	for range n {
		nonce := make([]byte, cookie.NonceLen)
		r.Read(nonce)
		c, err := b.keyset.Seal(nil, b.contents, nonce)
		if err != nil {
			b.tb.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

func (b *bench) now() proto.Now {
	return proto.Now{Mono: b.mono, Wall: wall.Add(proto.FromStd(time.Duration(b.mono)))}
}

func (b *bench) stamp() proto.Stamp {
	return proto.Stamp{At: b.now().Wall, Source: proto.StampKernel}
}

func (b *bench) wait(d time.Duration) { b.mono = b.mono.Add(d) }

// advance calls Advance and remembers a request.
func (b *bench) advance() Outcome {
	b.tb.Helper()
	o, err := b.a.Advance(b.now(), 4, false)
	if err != nil {
		b.tb.Fatal(err)
	}
	if o.Request != nil {
		b.request = o.Request
	}
	return o
}

// poll goes to the next poll and returns the request, whose departure it
// reports.
func (b *bench) poll() []byte {
	b.tb.Helper()
	for range 10 {
		b.mono = max(b.mono, b.a.Deadline())
		if o := b.advance(); o.Request != nil {
			b.a.Sent(b.now(), b.stamp())
			return o.Request
		}
	}
	b.tb.Fatal("no poll")
	return nil
}

// answer is the server's reply to the last request.
func (b *bench) answer() []byte {
	b.wait(oneWay)
	reply, v := b.server.Respond(nil, server.Request{
		Payload: b.request, From: netip.MustParseAddrPort("192.0.2.1:123"), To: netip.MustParseAddr("192.0.2.2"),
		Rx: b.stamp(), Mono: b.mono,
	}, &b.snapshot, b.keyset, func() proto.Timestamp { return b.now().Wall })
	if !v.Answered() {
		b.tb.Fatalf("the server did not answer: %v", v)
	}
	b.wait(oneWay)
	return reply
}

func (b *bench) receive(datagram []byte) Outcome { return b.a.Receive(b.now(), datagram, b.stamp()) }

// round does a whole exchange and fails the test unless it gives a
// measurement.
func (b *bench) round() Outcome {
	b.tb.Helper()
	b.poll()
	o := b.receive(b.answer())
	if o.Verdict != Accepted || !o.Measured || !o.Closed {
		b.tb.Fatalf("a good reply gave %+v", o)
	}
	return o
}

// header returns the reply to the last request without its extension fields,
// changed by edit.
func (b *bench) header(edit func(*proto.Header)) []byte {
	b.tb.Helper()
	h, err := proto.ParseHeader(b.request)
	if err != nil {
		b.tb.Fatal(err)
	}
	now := b.now().Wall
	r := proto.Header{
		Version: 4, Mode: proto.ModeServer, Stratum: 1, Precision: -20,
		Origin: h.Transmit, Receive: now, Transmit: now,
	}
	if edit != nil {
		edit(&r)
	}
	return r.Append(nil)
}

func kiss(code string) func(*proto.Header) {
	return func(h *proto.Header) { h.Stratum, h.RefID = 0, proto.RefIDText(code) }
}

// uniqueID is that of the last request.
func (b *bench) uniqueID() []byte {
	p, err := proto.ParsePacket(b.request)
	if err != nil {
		b.tb.Fatal(err)
	}
	for f := range p.All() {
		if f.Type == proto.FieldUniqueIdentifier {
			return f.Value
		}
	}
	b.tb.Fatal("no unique identifier")
	return nil
}

func field(tb testing.TB, packet []byte, t proto.FieldType, value []byte) []byte {
	packet, err := proto.AppendField(packet, t, value, proto.MinFieldLen)
	if err != nil {
		tb.Fatal(err)
	}
	return packet
}

// seal closes a packet with an authenticator under the server's key.
func (b *bench) seal(packet, plaintext []byte) []byte {
	b.tb.Helper()
	packet, err := aead.AppendField(packet, b.keys(b.contents).S2C, make([]byte, 16), plaintext)
	if err != nil {
		b.tb.Fatal(err)
	}
	return packet
}

// sealed is a complete protected reply with one new cookie.
func (b *bench) sealed(edit func(*proto.Header)) []byte {
	packet := field(b.tb, b.header(edit), proto.FieldUniqueIdentifier, b.uniqueID())
	inner, err := proto.AppendField(nil, proto.FieldCookie, b.cookies(1)[0], 0)
	if err != nil {
		b.tb.Fatal(err)
	}
	return b.seal(packet, inner)
}

// state is everything that input may change, except the counters.
func (b *bench) state() Association {
	s := *b.a
	s.counts = Counts{}
	s.entropy, s.wire = nil, wire{}
	return s
}
