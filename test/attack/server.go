package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the NTP server with datagrams that need no keys.
var serverRows = []scene.Row{
	{ID: "T01", P0: true, What: "20,000 datagrams of 0 to 2,048 arbitrary octets to the server", Prove: arbitraryRequests},
	{ID: "T04", P0: true, What: "answers, errors and control messages between two servers, each spoofed as the other's", Prove: loops},
	{ID: "T05", P0: true, What: "requests of every shape that might be answered with more than they are", Prove: amplification},
	{ID: "T06", P0: true, What: "every version and mode, bare, with a MAC and with a field", Prove: versionsAndModes},
	{ID: "T50", What: "requests to broadcast and multicast addresses, and from port 0", Prove: toMany},
	{ID: "T49", What: "requests to each of three addresses of a server, IPv4 and IPv6", Prove: multihomed},
}

// served starts the server of a row and shows that it answers.
func served(t *scene.Trial, text string) (*lab.Host, *scene.Daemon, *scene.Socket) {
	h := t.Host("host")
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	t.Control("a plain request is answered")
	return h, d, t.Dial(h, "127.0.0.1:123")
}

func arbitraryRequests(t *scene.Trial) {
	h, d, s := served(t, scene.Server)
	session := t.Session(h, "127.0.0.1:4460", "server.test")
	random := rand.New(rand.NewPCG(1, 1))
	before, err := lab.Memory(d.Pid())
	t.Check(err)
	var packets [][]byte
	for i := range 20000 {
		b := scene.Random(random.IntN(2049))
		switch {
		case i%4 == 1 && len(b) > 0: // looks like a request at first
			b[0] = 0x23
		case i%4 == 2: // was one with authentication
			b = session.Request(scene.Parts{})
			for range 1 + random.IntN(4) {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
		case i%4 == 3: // breaks off
			b = session.Request(scene.Parts{})
			b = b[:random.IntN(len(b))]
		}
		packets = append(packets, b)
	}
	replies, err := s.Volley(packets)
	t.Check(err)
	t.Check(shorter(packets, replies))
	t.Alive(d.Process)
	after, err := lab.Memory(d.Pid())
	t.Check(err)
	if grown := after - before; grown > 16<<20 {
		t.Fatal("memory grew by %d octets", grown)
	}
	t.Saw("%d datagrams, %d answers, none longer than its request, memory %+d KiB", len(packets), len(replies), (after-before)>>10)
}

// shorter checks that no reply is longer than its request, or longer than any if nobody knows which it was.
func shorter(packets [][]byte, replies []scene.Reply) error {
	for _, r := range replies {
		if r.To < 0 {
			return fmt.Errorf("an answer of %d octets to nothing that was asked", len(r.Payload))
		}
		if len(r.Payload) > len(packets[r.To]) {
			return fmt.Errorf("%d octets were answered with %d", len(packets[r.To]), len(r.Payload))
		}
	}
	return nil
}

func loops(t *scene.Trial) {
	h := t.Host("host")
	text := scene.Server + "[[server]]\nlisten = \"127.0.0.2:123\"\n"
	d := t.Daemon(h, "server", text)
	t.Serving(d, "127.0.0.1:123")
	t.Serving(d, "127.0.0.2:123")
	one, two := scene.At("127.0.0.1:123"), scene.At("127.0.0.2:123")
	wire := t.Sniff(h, "lo")
	raw := t.Raw(h)

	raw.Send(t, two, one, scene.Plain())
	t.Eventually(3*time.Second, func() error { return atLeast(wire.Count(one, two), 1) })
	t.Control("a spoofed request of one server is answered by the other, once")
	if n := wire.Count(two, one); n != 1 {
		t.Fatal("the answer was answered: %d datagrams", n-1)
	}

	packets := [][]byte{}
	for _, version := range []uint8{1, 2, 3, 4, 5, 6, 7} {
		for _, mode := range []uint8{0, 1, 2, 4, 5, 6, 7} {
			b := scene.Header(version, mode)
			b[1] = 2
			packets = append(packets, b, b[:8], b[:12])
			kiss := append([]byte{}, b...)
			kiss[1] = 0
			for _, code := range []string{"RATE", "DENY", "NTSN"} {
				copy(kiss[12:], code)
				packets = append(packets, append([]byte{}, kiss...))
			}
			packets = append(packets, append(append([]byte{}, b...), scene.Good(proto.FieldUniqueIdentifier, scene.Random(32))...))
		}
	}
	private := append([]byte{0x17, 0, 3, 0x2a}, make([]byte, 188)...) // monlist
	readvar := append([]byte{0x16, 2, 0, 1}, make([]byte, 8)...)
	failed := append([]byte{0x97, 0, 3, 0x2a}, make([]byte, 4)...) // the error of CVE-2009-3563
	packets = append(packets, private, readvar, failed)
	// What a server really says, and what it says to a request from itself.
	s := t.Dial(h, "127.0.0.1:123")
	own, err := s.Volley([][]byte{scene.Plain()})
	t.Check(err)
	packets = append(packets, own[0].Payload)

	before := wire.Count(one, two) + wire.Count(two, one) + wire.Count(one, one)
	for _, p := range packets {
		raw.Send(t, two, one, p)
		raw.Send(t, one, one, p) // from the server to itself
		for _, port := range []string{"7", "13", "17", "19", "37", "53", "69"} {
			raw.Send(t, scene.At("127.0.0.2:"+port), one, p)
		}
	}
	if _, err := s.Volley([][]byte{scene.Plain()}); err != nil { // everything before was dealt with
		t.Fatal("%v", err)
	}
	t.Pause(3 * time.Second)
	after := wire.Count(one, two) + wire.Count(two, one) + wire.Count(one, one)
	if more := after - before - 2*len(packets); more != 0 {
		t.Fatal("%d datagrams beside the %d that were forged", more, 2*len(packets))
	}
	for _, port := range []string{"7", "13", "17", "19", "37", "53", "69"} {
		if n := wire.Count(one, scene.At("127.0.0.2:"+port)); n != 0 {
			t.Fatal("port %s was answered %d times", port, n)
		}
	}
	t.Saw("%d forged datagrams caused none in three seconds", 9*len(packets))
}

func atLeast(n, want int) error {
	if n < want {
		return fmt.Errorf("%d, want %d", n, want)
	}
	return nil
}

func amplification(t *scene.Trial) {
	h, _, s := served(t, scene.Server)
	session := t.Session(h, "127.0.0.1:4460", "server.test")
	cookie := session.Cookies[0]
	random := rand.New(rand.NewPCG(5, 5))
	var packets [][]byte
	for i := range 20000 {
		var b []byte
		switch i % 5 {
		case 0:
			b = scene.Header(uint8(3+random.IntN(2)), 3)
			b = append(b, make([]byte, []int{0, 4, 20, 24}[random.IntN(4)])...)
		case 1: // unknown fields
			b = scene.Plain()
			for range 1 + random.IntN(4) {
				b = append(b, scene.Good(proto.FieldType(random.Uint32()), scene.Random(28+random.IntN(100)))...)
			}
		case 2: // a unique identifier that is echoed
			b = append(scene.Plain(), scene.Good(proto.FieldUniqueIdentifier, scene.Random(32+random.IntN(600)))...)
		default: // NTS with placeholders of every length, in the clear and encrypted
			p := scene.Parts{Cookies: [][]byte{cookie}, UniqueIDs: [][]byte{scene.Random(32 + 4*random.IntN(20))}, Nonce: scene.Random(16 + random.IntN(20))}
			for range random.IntN(12) {
				length := len(cookie)
				if random.IntN(3) == 0 {
					length = random.IntN(2 * len(cookie))
				}
				f := scene.Good(proto.FieldCookiePlaceholder, make([]byte, max(length, 12)))
				if random.IntN(2) == 0 {
					p.Clear = append(p.Clear, f...)
				} else {
					p.Inner = append(p.Inner, f...)
				}
			}
			b = session.Request(p)
		}
		packets = append(packets, b)
	}
	replies, err := s.Volley(packets)
	t.Check(err)
	if len(replies) < len(packets)/2 {
		t.Fatal("only %d of %d requests were answered: the row shows too little", len(replies), len(packets))
	}
	t.Check(shorter(packets, replies))
	t.Saw("%d of %d requests answered, each with as many octets or fewer", len(replies), len(packets))
}

func versionsAndModes(t *scene.Trial) {
	_, _, s := served(t, scene.Server)
	type shape struct {
		name string
		tail []byte
	}
	shapes := []shape{
		{"bare", nil}, {"crypto-NAK", make([]byte, 4)}, {"MD5", scene.Random(20)}, {"SHA-1", scene.Random(24)},
		{"field", scene.Good(0x7777, scene.Random(28))},
	}
	var packets [][]byte
	var names []string
	for version := range uint8(8) {
		for mode := range uint8(8) {
			for _, x := range shapes {
				packets = append(packets, append(scene.Header(version, mode), x.tail...))
				names = append(names, fmt.Sprintf("version %d mode %d %s", version, mode, x.name))
			}
		}
	}
	replies, err := s.Volley(packets)
	t.Check(err)
	answered := map[int]bool{}
	for _, r := range replies {
		if r.To < 0 {
			t.Fatal("an answer to nothing")
		}
		answered[r.To] = true
		version, mode := packets[r.To][0]>>3&7, packets[r.To][0]&7
		if mode != 3 || version != 3 && version != 4 {
			t.Fatal("%s was answered", names[r.To])
		}
		if r.Payload[0]&7 != 4 || r.Payload[0]>>3&7 != version {
			t.Fatal("%s was answered with version %d, mode %d", names[r.To], r.Payload[0]>>3&7, r.Payload[0]&7)
		}
	}
	for i, p := range packets {
		if p[0]&7 == 3 && (p[0]>>3&7 == 4 || p[0]>>3&7 == 3) && len(p) == 48 && !answered[i] {
			t.Fatal("%s was not answered", names[i])
		}
	}
	t.Saw("of %d kinds only mode 3 of versions 3 and 4 is answered (%d), in the version asked", len(packets), len(answered))
}

func toMany(t *scene.Trial) {
	here, there := t.Host("server"), t.Host("client")
	wireHosts(t, here, there, "10.9.0.1/24", "10.9.0.2/24")
	d := t.Daemon(here, "server", "[[server]]\nlisten = \"0.0.0.0:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(d, "10.9.0.1:123")
	s := t.Dial(there, "10.9.0.1:123")
	_, err := s.Volley([][]byte{scene.Plain()})
	t.Check(err)
	t.Control("a request from the other host is answered")
	wire, raw := t.Sniff(there, "wire0"), t.Raw(there)
	t.Check(there.IP("route", "add", "255.255.255.255", "dev", "wire0"))
	t.Check(there.IP("route", "add", "224.0.0.0/4", "dev", "wire0"))
	server, client := scene.At("10.9.0.1:123"), scene.At("10.9.0.2:4000")
	many := []string{"10.9.0.255", "255.255.255.255", "224.0.1.1"}
	// A program of the server's host that is in the group: wildcard sockets get the group's datagrams, too.
	ordinary := t.Socket(here, "0.0.0.0:5000")
	t.Check(joinGroup(ordinary, "224.0.1.1", "10.9.0.1"))
	for _, to := range many {
		raw.Send(t, client, scene.At(to+":5000"), scene.Plain())
	}
	raw.Send(t, scene.At("10.9.0.2:0"), scene.At("10.9.0.1:5000"), scene.Plain())
	t.Check(ordinary.SetReadDeadline(time.Now().Add(3 * time.Second)))
	for i := range len(many) + 1 {
		if _, err := ordinary.Read(make([]byte, 100)); err != nil {
			t.Fatal("an ordinary socket got %d of %d such requests: %v", i, len(many)+1, err)
		}
	}
	t.Control("an ordinary socket on that host gets them all")
	known := receivedBy(t, d)
	for range 10 {
		for _, to := range many {
			raw.Send(t, client, scene.At(to+":123"), scene.Plain())
		}
		raw.Send(t, scene.At("10.9.0.2:0"), server, scene.Plain())
	}
	_, err = s.Volley([][]byte{scene.Plain()})
	t.Check(err)
	t.Eventually(3*time.Second, func() error { return atLeast(int(receivedBy(t, d)-known), 41) })
	t.Pause(500 * time.Millisecond) // several workers answer, and the wire is read beside
	n := 0
	for _, p := range wire.Seen() {
		if p.From.Port() == 123 && (p.To == client || p.To.Port() == 0) {
			n++
		}
	}
	if n != 0 {
		t.Fatal("%d answers", n)
	}
	t.Saw("40 requests to many or from port 0, no answer")
}

func multihomed(t *scene.Trial) {
	h := t.Host("host")
	t.Check(h.IP("addr", "add", "10.9.9.1/32", "dev", "lo"))
	t.Check(h.IP("addr", "add", "fd00:9::1/128", "dev", "lo", "nodad"))
	d := t.Daemon(h, "server", "[[server]]\nlisten = \"[::]:123\"\n[synchronization]\nlocal-stratum = 1\nstate-path = \"\"\n")
	t.Serving(d, "127.0.0.1:123")
	t.Control("a request to the first address is answered")
	for _, to := range []string{"127.0.0.1:123", "127.0.0.2:123", "10.9.9.1:123", "[fd00:9::1]:123", "[::1]:123"} {
		// The socket is connected: it hears nobody but the address that it asked.
		if _, err := t.Dial(h, to).Volley([][]byte{scene.Plain()}); err != nil {
			t.Fatal("%s: %v", to, err)
		}
	}
	t.Saw("five addresses of both families answer for themselves")
}
