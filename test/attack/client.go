package main

import (
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the client with forged replies.
var clientRows = []scene.Row{
	{ID: "T02", P0: true, What: "arbitrary and damaged octets in front of every true reply", Prove: arbitraryReplies},
	{ID: "T11", P0: true, What: "plain, foreign, damaged and stripped replies to protected requests", Prove: forgedProtected},
	{ID: "T12", P0: true, What: "replies with origin zero, old, random, or to nothing that was asked", Prove: forgedOrigins},
	{ID: "T13", P0: true, What: "interleaved origins, crypto-NAKs and digests of nobody's key", Prove: forgedModes},
	{ID: "T14", P0: true, What: "what 5,000 requests tell about the client and the next one", Prove: entropy},
	{ID: "T16", P0: true, What: "key exchange blocked, NAKs forged, replies stripped: will it do without?", Prove: noPlainFallback},
}

// follow starts an honest upstream and a client of it, and shows that they work.
func follow(t *scene.Trial, nts bool) (*lab.Host, *scene.Upstream, *scene.Daemon) {
	return followIn(t, nts, "host")
}

// attacked lets the client poll under a script, and checks that it still takes every true reply and nothing else: the
// number of datagrams that it dropped is what the script made up, and its offset stays that of the honest server.
func attacked(t *scene.Trial, d *scene.Daemon, u *scene.Upstream, polls uint64, script scene.Script) scene.Source {
	before, _, err := d.Source(0)
	t.Check(err)
	var forged, believed atomic.Uint64
	u.Script(func(a *scene.Asked) [][]byte {
		out := script(a)
		last := len(out) - 1
		// They are judged before the true reply leaves: a measurement that is there already is a forgery's.
		then, _, err := d.Source(0)
		if err != nil {
			return out[last:]
		}
		forged.Add(uint64(last))
		for _, b := range out[:last] {
			u.Send(b, a.From)
		}
		for range 30 {
			now, _, err := d.Source(0)
			if err == nil && now.ID == then.ID && now.Taken() > then.Taken() {
				believed.Add(1)
			}
			if err != nil || now.Taken() > then.Taken() || now.Refused() >= then.Refused()+uint64(last) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return out[last:]
	})
	after := t.Samples(d, 0, before.Taken(), polls, 60*time.Second)
	u.Script(nil)
	if n := believed.Load(); n > 0 {
		t.Fatal("%d times a forgery was believed", n)
	}
	if after.ID != before.ID {
		t.Fatal("the source was given up")
	}
	t.Eventually(10*time.Second, func() error {
		now, _, err := d.Source(0)
		if err == nil && now.Refused()-before.Refused() < forged.Load() {
			err = fmt.Errorf("%d of %d forgeries were dropped", now.Refused()-before.Refused(), forged.Load())
		}
		return err
	})
	near(t, d)
	t.Saw("%d measurements among %d forgeries, all dropped", after.Taken()-before.Taken(), forged.Load())
	return after
}

// near checks that the client's clock was not moved by the attacker: forgeries are an hour off.
func near(t *scene.Trial, d *scene.Daemon) {
	s := t.MustState(d)
	for _, row := range s.Own.Sources {
		if row.Offset != nil && (*row.Offset > 0.5 || *row.Offset < -0.5) {
			t.Fatal("the offset of %s is %v s", row.Name, *row.Offset)
		}
	}
	if s.Own.Steps > 0 && s.System.AccumulatedSteps > 0.5 {
		t.Fatal("the clock was stepped by %v s", s.System.AccumulatedSteps)
	}
}

// hour makes a time of the attacker's out of a true one.
const hour = 3600 * proto.Second

func wrongTime(h *proto.Header) { h.Receive, h.Transmit = h.Receive.Add(hour), h.Transmit.Add(hour) }

func arbitraryReplies(t *scene.Trial) {
	for _, nts := range []bool{false, true} {
		_, u, d := followIn(t, nts, map[bool]string{false: "plain", true: "nts"}[nts])
		attacked(t, d, u, 6, func(a *scene.Asked) [][]byte {
			var out [][]byte
			for i := range 40 {
				b := scene.Random(1 + i*29%1400)
				if i%2 == 0 { // nearly true
					b = slices.Clone(a.Reply)
					at := 24 + int(scene.Random(1)[0])%8 // the origin
					if nts {
						at = 24 + int(scene.Random(1)[0])%(len(b)-24)
					}
					b[at] ^= 1 << (i % 8)
				}
				if len(b) > 48 && i%3 == 1 {
					b = b[:48+i%5] // cut
					b[24] ^= 0xff
				}
				out = append(out, b)
			}
			return append(out, a.Reply)
		})
		t.Alive(d.Process)
		if nts {
			insideEnvelope(t, d, u)
		}
	}
	t.RunTests("proto/client", "FuzzClientReceive")
}

// insideEnvelope has the server itself seal what is no reply: with its keys, the right origin and the right identifier.
func insideEnvelope(t *scene.Trial, d *scene.Daemon, u *scene.Upstream) {
	attacked(t, d, u, 4, func(a *scene.Asked) [][]byte {
		var out [][]byte
		for i := range 40 {
			inner := scene.Random(1 + i%3) // too short for a field
			switch i % 4 {
			case 1: // a cookie that claims to be longer than what there is
				inner = scene.Field(proto.FieldCookie, 108+4*i*i, scene.Random(100))
			case 2: // or shorter than its own header
				inner = scene.Field(proto.FieldType(scene.Random(1)[0]), i%4, scene.Random(60))
			case 3: // behind a good one
				inner = append(scene.Good(proto.FieldCookie, scene.Random(100)), scene.Field(proto.FieldCookie, 1<<15, scene.Random(i))...)
			}
			out = append(out, a.Seal(append(a.Header(wrongTime), a.UniqueID()...), inner))
		}
		return append(out, a.Reply)
	})
	// Fields that have no business there, or are of another size, in replies that are true.
	odd := func(a *scene.Asked) [][]byte {
		return [][]byte{
			nil, a.UniqueID(), scene.Good(proto.FieldAuthenticator, scene.Random(40)), scene.Good(proto.FieldCookie, scene.Random(12)),
			scene.Good(proto.FieldCookie, scene.Random(700)), scene.Good(proto.FieldCookiePlaceholder, scene.Random(100)),
		}
	}
	before, _, err := d.Source(0)
	t.Check(err)
	asked := len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte {
		kinds := odd(a)
		head := append(a.Header(func(*proto.Header) {}), a.UniqueID()...)
		return [][]byte{a.Seal(head, kinds[(a.N-asked)%len(kinds)]), a.Reply}
	})
	t.Eventually(60*time.Second, func() error { return atLeast(len(u.Requests())-asked, 7) })
	u.Script(nil)
	t.Alive(d.Process)
	near(t, d)
	after := t.Samples(d, 0, before.Taken(), 8, 60*time.Second)
	if after.ID != before.ID || after.Cookies == nil || *after.Cookies > 8 {
		t.Fatal("the association was given up, or has too many cookies: %+v", after)
	}
	t.Saw("what the server seals with its keys and is malformed is dropped, what is odd does no harm")
}

// followIn is follow on a host of its own name.
func followIn(t *scene.Trial, nts bool, name string) (*lab.Host, *scene.Upstream, *scene.Daemon) {
	h := t.Host(name)
	u := t.Upstream(h, "127.0.0.1:123")
	source := "[[source]]\nmode = \"server\"\naddress = \"127.0.0.1\"\n"
	if nts {
		t.Keys(h, u, "127.0.0.1:4460", "server", scene.At("127.0.0.1:123"))
		source = scene.NTS("server.test")
	}
	d := t.Daemon(h, "client", scene.Client+source)
	s := t.Samples(d, 0, 0, 2, 30*time.Second)
	if nts && (s.Cookies == nil || *s.Cookies == 0) {
		t.Fatal("the client has no cookies")
	}
	t.Control("%s: %d measurements from the honest server", name, s.Taken())
	return h, u, d
}

func forgedProtected(t *scene.Trial) {
	_, u, d := follow(t, true)
	marker := scene.Random(64)
	bit, bits := 0, 0
	after := attacked(t, d, u, 17, func(a *scene.Asked) [][]byte {
		plain := a.Header(wrongTime)
		identified := append(slices.Clone(plain), a.UniqueID()...)
		withCookie := append(slices.Clone(identified), scene.Good(proto.FieldCookie, marker)...)
		otherID := a.Seal(append(slices.Clone(plain), scene.Good(proto.FieldUniqueIdentifier, scene.Random(32))...), scene.Good(proto.FieldCookie, marker))
		noID := a.Seal(slices.Clone(plain), scene.Good(proto.FieldCookie, marker))
		twoIDs := a.Seal(append(slices.Clone(identified), a.UniqueID()...), nil)
		foreign := scene.SealRandom(identified)
		out := [][]byte{plain, identified, withCookie, otherID, noID, twoIDs, foreign, a.Reply[:len(a.Reply)-4], a.Reply[:48]}
		bits = 8 * len(a.Reply)
		for range 150 { // bit by bit through the true reply; more would not fit the client's queue
			b := slices.Clone(a.Reply)
			b[bit/8%len(b)] ^= 1 << (bit % 8)
			bit++
			out = append(out, b)
		}
		return append(out, a.Reply)
	})
	if bit < bits {
		t.Fatal("%d of %d bits were changed", bit, bits)
	}
	if after.Cookies == nil || *after.Cookies < 7 {
		t.Fatal("cookies were lost: %v", after.Cookies)
	}
	// True replies that carry another cookie in the clear: they count, and it must not be kept. Ten polls use up every
	// cookie that the client may have.
	u.Script(func(a *scene.Asked) [][]byte {
		return [][]byte{a.Seal(append(append(slices.Clone(a.Reply[:48]), a.UniqueID()...), scene.Good(proto.FieldCookie, marker)...), nil)}
	})
	after = t.Samples(d, 0, after.Taken(), 2, 30*time.Second)
	u.Script(nil)
	t.Samples(d, 0, after.Taken(), 10, 60*time.Second)
	seen := map[string]bool{}
	for _, r := range u.Requests() {
		if strings.Contains(string(r), string(marker)) {
			t.Fatal("the client used a cookie that was not authenticated")
		}
		if len(r) == proto.HeaderLen {
			t.Fatal("the client sent a plain request")
		}
		t.Check(fresh(r, seen))
	}
	t.Saw("each of the %d bits of a true reply, no forged cookie used", bits)
}

// fresh wants a protected request to have an identifier of 32 octets and a cookie, none of which was seen before: that
// would tell one who listens that it is the same client (RFC 8915, section 5.7).
func fresh(request []byte, seen map[string]bool) error {
	p, err := proto.ParsePacket(request)
	if err != nil {
		return err
	}
	for f := range p.All() {
		if f.Type != proto.FieldUniqueIdentifier && f.Type != proto.FieldCookie {
			continue
		}
		if len(f.Value) < 32 || seen[string(f.Value)] {
			return fmt.Errorf("a field %#04x of %d octets, again: %v", uint16(f.Type), len(f.Value), seen[string(f.Value)])
		}
		seen[string(f.Value)] = true
	}
	return nil
}

func forgedOrigins(t *scene.Trial) {
	h, u, d := follow(t, false)
	var last proto.Timestamp
	attacked(t, d, u, 8, func(a *scene.Asked) [][]byte {
		reply := func(origin proto.Timestamp) []byte {
			return a.Header(func(h *proto.Header) { wrongTime(h); h.Origin = origin })
		}
		h, err := proto.ParseHeader(a.Request)
		if err != nil {
			return nil
		}
		out := [][]byte{reply(0), reply(h.Transmit + 1), reply(proto.Timestamp(bits.ReverseBytes64(uint64(h.Transmit))))}
		if last != 0 {
			out = append(out, reply(last))
		}
		last = h.Transmit
		for range 50 {
			b := reply(0)
			copy(b[24:32], scene.Random(8))
			out = append(out, b)
		}
		return append(out, a.Reply)
	})
	// A second reply to the same request.
	before, _, err := d.Source(0)
	t.Check(err)
	requests := len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte {
		return [][]byte{a.Reply, a.Header(wrongTime), a.Reply, a.Header(func(h *proto.Header) { wrongTime(h); h.Origin = 0 })}
	})
	after := t.Samples(d, 0, before.Taken(), 4, 30*time.Second)
	if asked := len(u.Requests()) - requests; after.Taken()-before.Taken() > uint64(asked) {
		t.Fatal("%d measurements from %d requests", after.Taken()-before.Taken(), asked)
	}
	// To nothing that was asked: who has been answered does not listen any more.
	var listens atomic.Bool
	u.Script(func(a *scene.Asked) [][]byte {
		if open, err := askingPorts(h); err == nil && slices.Contains(open, a.From.Port()) {
			listens.Store(true)
		}
		return nil
	})
	t.Samples(d, 0, after.Taken(), 2, 30*time.Second)
	u.Script(nil)
	if !listens.Load() {
		t.Fatal("no port is open while a request is in flight: the row shows nothing")
	}
	t.Control("the port of a request is open until it is answered")
	sources := u.Sources()
	old := sources[:len(sources)-2]
	open, err := askingPorts(h)
	t.Check(err)
	for _, s := range old {
		if slices.Contains(open, s.Port()) {
			t.Fatal("a request from %s was answered, and the port is open still", s)
		}
	}
	near(t, d)
	t.Saw("the first reply alone counts when more follow; none of %d ports that asked is open any more", len(old))
}

// askingPorts are the local ports of a host's UDP sockets that are connected to port 123 of IPv4 addresses.
func askingPorts(h *lab.Host) (ports []uint16, err error) {
	err = h.Inside(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/udp")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 3 || !strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", 123)) {
				continue
			}
			_, port, _ := strings.Cut(fields[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				return err
			}
			ports = append(ports, uint16(n))
		}
		return nil
	})
	return ports, err
}

func forgedModes(t *scene.Trial) {
	_, u, d := follow(t, false)
	var received, sent proto.Timestamp
	attacked(t, d, u, 8, func(a *scene.Asked) [][]byte {
		pivot := func(origin proto.Timestamp) []byte {
			return a.Header(func(h *proto.Header) { wrongTime(h); h.Origin = origin })
		}
		wrong := a.Header(wrongTime)
		out := [][]byte{
			append(slices.Clone(wrong), 0, 0, 0, 0),          // crypto-NAK
			append(slices.Clone(wrong), scene.Random(20)...), // MD5
			append(slices.Clone(wrong), scene.Random(24)...), // SHA-1
			a.Header(func(h *proto.Header) { wrongTime(h); h.Mode = proto.ModeBroadcast }),
			a.Header(func(h *proto.Header) { wrongTime(h); h.Mode = proto.ModeSymmetricActive }),
			a.Header(func(h *proto.Header) { wrongTime(h); h.Mode = proto.ModeClient }),
			a.Header(func(h *proto.Header) { wrongTime(h); h.Version = 5 }),
		}
		if received != 0 {
			out = append(out, pivot(received), pivot(sent))
		}
		h, err := proto.ParseHeader(a.Reply)
		if err == nil {
			received, sent = h.Receive, h.Transmit
		}
		return append(out, a.Reply)
	})
}

func entropy(t *scene.Trial) {
	h := t.Host("host")
	const sources, wanted = 100, 5000
	u := t.Upstream(h, "0.0.0.0:123")
	u.Say(func(s *server.TimeSnapshot) { s.Stratum, s.Leap = 16, proto.LeapUnsynchronised })
	var text strings.Builder
	text.WriteString(scene.Client)
	for i := range sources {
		fmt.Fprintf(&text, "[[source]]\nmode = \"server\"\naddress = \"127.0.7.%d\"\n", i+1)
	}
	wire := t.Sniff(h, "lo")
	d := t.Daemon(h, "client", text.String())
	t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests()), sources) })
	t.Control("%d associations poll", sources)
	t.Eventually(100*time.Second, func() error { return atLeast(len(u.Requests()), wanted) })
	t.Alive(d.Process)
	var ones [64]int
	seen, ports, sequel := map[uint64]bool{}, map[uint16]bool{}, 0
	var last uint16
	var before uint64
	apart := map[uint64]int{}
	requests := u.Requests()
	for _, r := range requests {
		hd, err := proto.ParseHeader(r)
		t.Check(err)
		x := uint64(hd.Transmit)
		if seen[x] {
			t.Fatal("the same transmit field twice")
		}
		seen[x] = true
		if apart[x-before]++; apart[x-before] > 1 {
			t.Fatal("two requests are as far apart as two others: the next one can be told")
		}
		before = x
		for i := range ones {
			ones[i] += int(x >> i & 1)
		}
		hd.Transmit = 0
		if want := (proto.Header{Version: 4, Mode: proto.ModeClient}); hd != want || len(r) != proto.HeaderLen {
			t.Fatal("a request tells more than it must: %+v, %d octets", hd, len(r))
		}
	}
	for i, n := range ones { // five standard deviations
		if dev := n - len(requests)/2; dev*dev > 25*len(requests)/4 {
			t.Fatal("bit %d is set in %d of %d", i, n, len(requests))
		}
	}
	for _, s := range u.Sources() {
		ports[s.Port()] = true
		if s.Port() == last {
			sequel++
		}
		last = s.Port()
		if s.Port() == 123 {
			t.Fatal("a request from port 123")
		}
	}
	if len(ports) < len(requests)/4 || sequel > 5 {
		t.Fatal("%d source ports for %d requests, %d times the same again", len(ports), len(requests), sequel)
	}
	if len(wire.Seen()) < len(requests) {
		t.Fatal("the wire has fewer requests than the server")
	}
	t.Saw("%d requests: no transmit field twice, every bit within five standard deviations, %d source ports, all else constant", len(requests), len(ports))
}

func noPlainFallback(t *scene.Trial) {
	h, u, d := follow(t, true)
	wire := t.Sniff(h, "lo")
	probe := t.Dial(h, "127.0.0.9:123")
	own := scene.At(probe.LocalAddr().String())
	asPlain := func(p scene.Datagram) bool { return p.To.Port() == 123 && len(p.Payload) == proto.HeaderLen }
	plain := func() error {
		for _, p := range wire.Seen() {
			if p.From != own && asPlain(p) {
				return lab.Final{Err: fmt.Errorf("a plain request to %s", p.To)}
			}
		}
		return nil
	}
	_, err := probe.Write(scene.Plain())
	t.Check(err)
	t.Eventually(3*time.Second, func() error {
		if !slices.ContainsFunc(wire.Seen(), func(p scene.Datagram) bool { return p.From == own && asPlain(p) }) {
			return fmt.Errorf("the sniffer does not see a plain request")
		}
		return nil
	})
	t.Control("a plain request is seen on the wire")
	// NAKs beside true replies cause no key exchange at all.
	exchanges := u.Exchanges()
	before, _, err := d.Source(0)
	t.Check(err)
	nak := func(a *scene.Asked) []byte { return append(a.Kiss("NTSN", 4), a.UniqueID()...) }
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{nak(a), a.Reply} })
	t.Samples(d, 0, before.Taken(), 5, 30*time.Second)
	if n := u.Exchanges() - exchanges; n != 0 {
		t.Fatal("%d key exchanges although every poll was answered", n)
	}
	// Stripped replies, then NAKs alone.
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{a.Reply[:48], append(a.Reply[:48:48], a.UniqueID()...)} })
	t.Hold(6*time.Second, plain)
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{nak(a)} })
	t.Hold(12*time.Second, plain)
	if n := u.Exchanges() - exchanges; n > 4 {
		t.Fatal("%d key exchanges in 18 seconds: forged NAKs drive the client", n)
	}
	t.Check(plain())
	// Servers whose key exchange never answers, or refuses.
	u2, u3 := t.Upstream(h, "127.0.0.2:123"), t.Upstream(h, "127.0.0.3:123")
	t.Listen(h, "127.0.0.2:4460")
	d2 := t.Daemon(h, "blocked", scene.Client+scene.NTS("second.test")+scene.NTS("third.test"))
	t.Hold(8*time.Second, plain)
	t.Alive(d2.Process)
	if n := len(u2.Requests()) + len(u3.Requests()); n != 0 {
		t.Fatal("%d requests to servers without key exchange", n)
	}
	for _, row := range t.MustState(d2).Own.Sources {
		if row.Text == "" && row.Condition != "key-exchange" {
			t.Fatal("the key exchange of source %d was not tried: %s", row.Source, row.Condition)
		}
	}
	// It recovers when the attack ends.
	u.Script(nil)
	now, _, err := d.Source(0)
	t.Check(err)
	t.Eventually(45*time.Second, func() error {
		s, _, err := d.Source(0)
		if err != nil {
			return err
		}
		more := s.Taken()
		if s.ID == now.ID {
			more -= now.Taken()
		}
		if more < 2 {
			return fmt.Errorf("%d measurements since: %s", more, s.Text)
		}
		return nil
	})
	t.Saw("no plain request in %d datagrams, no key exchange for NAKs beside answers, %d for NAKs alone", len(wire.Seen()), u.Exchanges()-exchanges)
}
