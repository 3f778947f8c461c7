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
