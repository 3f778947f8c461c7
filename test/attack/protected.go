package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the NTP server's NTS.
var protectedRows = []scene.Row{
	{ID: "T07", P0: true, What: "0 to 64 cookie placeholders, in the clear, encrypted, of wrong lengths", Prove: placeholders},
	{ID: "T08", P0: true, What: "all lengths of nonce and ciphertext from 0 to 299, and the largest", Prove: nonceGrid},
	{ID: "T09", P0: true, What: "cookies of 0 to 400 octets, damaged, cut, renamed, and another server's", Prove: badCookies},
	{ID: "T10", P0: true, What: "NTS fields in version 3, in other modes, doubled, and to a server without keys for them", Prove: misplacedFields},
}

// protected starts a server and shows that it answers with authentication.
func protected(t *scene.Trial) (*lab.Host, *scene.Daemon, *scene.Socket, *scene.Session) {
	h := t.Host("host")
	d := t.Daemon(h, "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	s := t.Dial(h, "127.0.0.1:123")
	session := t.Session(h, "127.0.0.1:4460", "server.test")
	a := one(t, s, session, session.Request(scene.Parts{}))
	if !a.Authentic || a.Cookies != 1 {
		t.Fatal("an honest protected request got %+v", a)
	}
	t.Control("a protected request is answered with authentication and a cookie")
	return h, d, s, session
}

// one sends a request that has to be answered once.
func one(t *scene.Trial, s *scene.Socket, session *scene.Session, request []byte) scene.Answer {
	replies, err := s.Volley([][]byte{request})
	t.Check(err)
	if len(replies) != 1 {
		t.Fatal("%d answers", len(replies))
	}
	a, err := session.Open(replies[0].Payload)
	t.Check(err)
	return a
}

// longest is the longest request that servers read.
const longest = 2048

func placeholders(t *scene.Trial) {
	_, _, s, session := protected(t)
	cookie := session.Cookies[0]
	spare := scene.Good(proto.FieldCookiePlaceholder, make([]byte, len(cookie)))
	wrong := scene.Good(proto.FieldCookiePlaceholder, make([]byte, len(cookie)+4))
	for _, n := range []int{0, 1, 3, 7, 8, 9, 15, 16, 31, 32, 63, 64} {
		for _, kind := range []string{"clear", "encrypted", "wrong"} {
			p := scene.Parts{Cookies: [][]byte{cookie}}
			want := min(8, 1+n)
			switch kind {
			case "clear":
				p.Clear = slices.Repeat(spare, n)
			case "encrypted":
				p.Inner = slices.Repeat(spare, n)
			case "wrong":
				p.Clear, want = slices.Repeat(wrong, n), 1
			}
			if r := session.Request(p); len(r) > longest {
				replies, err := s.Volley([][]byte{r})
				t.Check(err)
				if len(replies) > 0 {
					t.Fatal("a request of %d octets is answered", len(r))
				}
				continue
			}
			a := one(t, s, session, session.Request(p))
			if !a.Authentic || a.Cookies != want {
				t.Fatal("%d placeholders (%s): %d cookies, authentic %v; want %d", n, kind, a.Cookies, a.Authentic, want)
			}
		}
	}
	t.Saw("never more than eight cookies, more placeholders than fit %d octets get nothing", longest)
}

func nonceGrid(t *scene.Trial) {
	_, d, s, session := protected(t)
	prefix := session.Prefix(scene.Parts{})
	body := scene.Random(300)
	lengths := []int{}
	for i := range 300 {
		if i < 40 || i%7 == 0 || i > 260 {
			lengths = append(lengths, i)
		}
	}
	lengths = append(lengths, 0x7fff, 0xfffc, 0xffff)
	before := t.MustState(d)
	n, naked := 0, 0
	var packets [][]byte
	flush := func() {
		replies, err := s.Volley(packets)
		t.Check(err)
		for _, r := range replies {
			a, err := session.Open(r.Payload)
			t.Check(err)
			if !a.NAK() {
				t.Fatal("an authenticator of wrong lengths got %+v", a)
			}
			naked++
		}
		packets = packets[:0]
	}
	for _, nonce := range lengths {
		for _, text := range lengths {
			b := slices.Clone(prefix)
			copy(b[40:], scene.Random(8))
			value := binary.BigEndian.AppendUint16(nil, uint16(nonce))
			value = binary.BigEndian.AppendUint16(value, uint16(text))
			value = append(value, body[:(nonce+text)%297]...)
			packets = append(packets, append(b, scene.Good(proto.FieldAuthenticator, value)...))
			if n++; len(packets) == 2000 {
				flush()
			}
		}
	}
	// Nonces that leave the server's no room: the padding of RFC 8915 section 5.6 is missing.
	for nonce := range 16 {
		if nonce > 12 {
			break // 13 and more fill what would be padding
		}
		packets = append(packets, session.Request(scene.Parts{Nonce: scene.Random(nonce + 1)[:max(nonce, 1)]}))
		n++
	}
	flush()
	t.Alive(d.Process)
	after := t.MustState(d)
	if got := after.Servers[0].Stats["nts_accepted_packets"] - before.Servers[0].Stats["nts_accepted_packets"]; got != 0 {
		t.Fatal("%d of them were accepted", got)
	}
	t.Saw("%d pairs of lengths: none accepted, %d NAKs, the rest dropped", n, naked)
}

func badCookies(t *scene.Trial) {
	h, d, s, session := protected(t)
	other := t.Daemon(h, "other", strings.NewReplacer("127.0.0.1", "127.0.0.2", "server.", "second.").Replace(scene.Server))
	t.Serving(other, "127.0.0.2:123")
	foreign := t.Session(h, "127.0.0.2:4460", "second.test")
	good := session.Take()
	var packets [][]byte
	add := func(cookie []byte) {
		packets = append(packets, session.Request(scene.Parts{Cookies: [][]byte{cookie}}))
	}
	for n := range 401 {
		add(scene.Random(n))
	}
	for i := range good {
		damaged := slices.Clone(good)
		damaged[i] ^= 0x10
		add(damaged)
	}
	for n := range good {
		add(good[:n])
	}
	for _, id := range []uint32{1, 2, 7, 0xffffffff} {
		renamed := slices.Clone(good)
		binary.BigEndian.PutUint32(renamed, binary.BigEndian.Uint32(renamed)+id)
		add(renamed)
	}
	add(foreign.Take())
	replies, err := s.Volley(packets)
	t.Check(err)
	for _, r := range replies {
		if r.To < 0 || len(r.Payload) > len(packets[r.To]) {
			t.Fatal("a longer answer than the request")
		}
		a, err := session.Open(r.Payload)
		t.Check(err)
		if !a.NAK() || a.Fields != 1 || string(a.UniqueID) != string(packets[r.To][52:84]) {
			t.Fatal("packet %d got %+v instead of an NTS NAK with the unique identifier alone", r.To, a)
		}
	}
	if len(replies) < len(packets)-20 {
		t.Fatal("only %d NAKs for %d bad cookies", len(replies), len(packets))
	}
	if n := t.MustState(d).Servers[0].Stats["nts_accepted_packets"]; n != 1 {
		t.Fatal("%d requests were accepted, want the honest one", n)
	}
	t.Saw("%d bad cookies: %d NTS NAKs with nothing but the unique identifier, the rest dropped", len(packets), len(replies))
}

func misplacedFields(t *scene.Trial) {
	h, d, s, session := protected(t)
	cookie := session.Take()
	id := scene.Random(32)
	header := func(version, mode uint8) scene.Parts {
		return scene.Parts{Header: scene.Header(version, mode), Cookies: [][]byte{cookie}}
	}
	parts := map[string]scene.Parts{
		"version 3":               header(3, 3),
		"mode 1":                  header(4, 1),
		"mode 4":                  header(4, 4),
		"mode 6":                  header(4, 6),
		"version 5":               header(5, 3),
		"two cookies":             {Cookies: [][]byte{cookie, cookie}},
		"two identifiers":         {Cookies: [][]byte{cookie}, UniqueIDs: [][]byte{id, id}},
		"two other identifiers":   {Cookies: [][]byte{cookie}, UniqueIDs: [][]byte{id, scene.Random(32)}},
		"no identifier":           {Cookies: [][]byte{cookie}, UniqueIDs: [][]byte{}},
		"a short identifier":      {Cookies: [][]byte{cookie}, UniqueIDs: [][]byte{scene.Random(28)}},
		"no cookie":               {Cookies: [][]byte{}},
		"a cookie alone":          {Cookies: [][]byte{cookie}, Bare: true},
		"NTS behind the seal":     {Cookies: [][]byte{cookie}, Behind: scene.Good(proto.FieldCookiePlaceholder, make([]byte, len(cookie)))},
		"an encrypted cookie":     {Cookies: [][]byte{cookie}, Inner: scene.Good(proto.FieldCookie, cookie)},
		"an encrypted identifier": {Cookies: [][]byte{cookie}, Inner: scene.Good(proto.FieldUniqueIdentifier, id)},
		"inner length 0":          {Cookies: [][]byte{cookie}, Inner: scene.Field(0x7777, 0, make([]byte, 28))},
		"inner length 2":          {Cookies: [][]byte{cookie}, Inner: scene.Field(0x7777, 2, make([]byte, 28))},
		"inner length 5":          {Cookies: [][]byte{cookie}, Inner: scene.Field(0x7777, 5, make([]byte, 28))},
		"inner length too long":   {Cookies: [][]byte{cookie}, Inner: scene.Field(0x7777, 64, make([]byte, 28))},
		"inner lengths 6 and 26":  {Cookies: [][]byte{cookie}, Inner: slices.Concat(scene.Field(0x7777, 6, make([]byte, 2)), scene.Field(0x7777, 26, make([]byte, 22)))},
		"a field of 8 octets":     {Cookies: [][]byte{cookie}, Clear: scene.Field(0x7777, 8, make([]byte, 4))},
	}
	for name, p := range parts {
		replies, err := s.Volley([][]byte{session.Request(p)})
		t.Check(err)
		for _, r := range replies {
			t.Fatal("%s was answered with %d octets", name, len(r.Payload))
		}
	}
	// An ordinary field behind the authenticator is discarded, not acted on.
	a := one(t, s, session, session.Request(scene.Parts{Cookies: [][]byte{cookie}, Behind: scene.Good(0x7777, scene.Random(28))}))
	if !a.Authentic || a.Cookies != 1 {
		t.Fatal("an unauthenticated field behind the authenticator: %+v", a)
	}
	t.Check(everyBit(s, session, cookie))
	t.Alive(d.Process)

	// A server that exchanges no keys has none for these cookies.
	plain := t.Daemon(h, "plain", "[[server]]\nlisten = \"127.0.0.3:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(plain, "127.0.0.3:123")
	replies, err := t.Dial(h, "127.0.0.3:123").Volley([][]byte{session.Request(scene.Parts{Cookies: [][]byte{cookie}})})
	t.Check(err)
	for _, r := range replies {
		if b, err := session.Open(r.Payload); err != nil || !b.NAK() || b.Fields != 1 {
			t.Fatal("a server without keys answered %+v (%v)", b, err)
		}
	}
	t.Saw("%d misplacements dropped, every changed bit refused", len(parts))
}

// everyBit flips each bit of a protected request: none may be answered as the honest one was.
func everyBit(s *scene.Socket, session *scene.Session, cookie []byte) error {
	request := session.Request(scene.Parts{Cookies: [][]byte{cookie}})
	var packets [][]byte
	for bit := range 8 * len(request) {
		b := slices.Clone(request)
		b[bit/8] ^= 1 << (bit % 8)
		packets = append(packets, b)
	}
	for i, p := range packets {
		replies, err := s.Volley([][]byte{p})
		if err != nil {
			return err
		}
		for _, r := range replies {
			// Without its authenticator's type the packet is a plain one with unknown fields, or none at all.
			a, err := session.Open(r.Payload)
			if err != nil || a.Authentic || a.Cookies > 0 {
				return fmt.Errorf("bit %d changed nothing: %+v (%v)", i, a, err)
			}
		}
	}
	return nil
}
