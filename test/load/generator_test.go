package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// world is a server in this process, whose answers are changed before they are
// sent.
type world struct {
	addr      netip.AddrPort
	sessions  []*session
	elsewhere atomic.Bool // answers go to another address
	stop      func()      // and then the following may be read

	sources map[netip.AddrPort]int // of requests
	seen    map[string]bool        // cookies
	reused  bool
}

// serve answers until the test ends. tamper gets an answer and returns what is
// sent in its place.
func serve(t *testing.T, stratum uint8, sessions int, tamper func(n int, answer []byte) [][]byte) *world {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	entropy := rand.NewChaCha8([32]byte{9})
	keys, err := cookie.NewKeyset(entropy)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), sources: map[netip.AddrPort]int{}, seen: map[string]bool{}}
	for i := range sessions {
		w.sessions = append(w.sessions, associate(t, keys, byte(i)))
	}
	r := server.New(server.Config{Versions: server.Version3And4}, entropy)
	snapshot := &server.TimeSnapshot{Stratum: stratum, RefID: 1, ValidUntil: proto.Never}
	now := func() proto.Timestamp { return proto.FromTime(time.Now()) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, maxDatagram)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			w.note(buffer[:size], from)
			q := server.Request{Payload: buffer[:size], From: from, Rx: proto.Stamp{At: now()}}
			answer, _ := r.Respond(nil, q, snapshot, keys, now)
			if w.elsewhere.Load() {
				from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 9, 9}), from.Port())
			}
			for _, b := range tamper(n, answer) {
				_, _ = conn.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	w.stop = func() { conn.Close(); <-done }
	t.Cleanup(w.stop)
	return w
}

func associate(t *testing.T, keys *cookie.Keyset, seed byte) *session {
	t.Helper()
	a := aead.AESSIVCMAC256
	c := cookie.Contents{Algorithm: a, C2S: bytes.Repeat([]byte{seed, 1}, a.KeyLen()/2), S2C: bytes.Repeat([]byte{seed, 2}, a.KeyLen()/2)}
	var cookies [][]byte
	for i := range byte(cookie.JarSize) {
		b, err := keys.Seal(nil, c, bytes.Repeat([]byte{i}, cookie.NonceLen))
		if err != nil {
			t.Fatal(err)
		}
		cookies = append(cookies, b)
	}
	s, err := newSession(a, c.C2S, c.S2C, cookies)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) note(request []byte, from netip.AddrPort) {
	w.sources[from]++
	p, err := proto.ParsePacket(request)
	if err != nil {
		return
	}
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			w.reused = w.reused || w.seen[string(f.Value)]
			w.seen[string(f.Value)] = true
		}
	}
}

func honest(_ int, answer []byte) [][]byte { return [][]byte{answer} }

func send(t *testing.T, l load) *tally {
	t.Helper()
	l.duration, l.sockets, l.addresses = 20*time.Second, max(l.sockets, 1), max(l.addresses, 1)
	l.window, l.count = cmp.Or(l.window, 8), cmp.Or(l.count, 64)
	g, err := newGenerator(l)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	calls := 0
	tally, err := g.run(func() { calls++ })
	if err != nil || calls != 2 {
		t.Fatalf("%v, measured %d times", err, calls)
	}
	return tally
}

func TestHonestAnswersCount(t *testing.T) {
	for name, l := range map[string]load{
		"plain":        {},
		"addresses":    {addresses: 50, sockets: 4},
		"open loop":    {rate: 1e5, window: 64},
		"NTS":          {sessions: []*session{nil}},
		"placeholders": {sessions: []*session{nil}, spare: 7},
	} {
		w := serve(t, 1, 2*len(l.sessions), honest)
		l.server, l.sessions, l.count = w.addr, w.sessions, 200
		r := send(t, l)
		w.stop()
		if r.Answered != r.Sent || r.Sent != 200 || r.Wrong+r.Lost+r.Strays != 0 || r.latencies.n != r.Answered {
			t.Errorf("%s: %v", name, r)
		}
		if r.Cookies != uint64(len(l.sessions)/2*200*(1+l.spare)) {
			t.Errorf("%s: %d cookies", name, r.Cookies)
		}
		if len(l.sessions) > 0 && (w.reused || len(w.seen) != int(r.Sent)) {
			t.Errorf("%s: %d cookies for %d requests, reused %v", name, len(w.seen), r.Sent, w.reused)
		}
		if want := max(l.addresses, 1) * max(l.sockets, 1); len(w.sources) > want || len(w.sources) < max(l.addresses, l.sockets, 1) {
			t.Errorf("%s: requests came from %d addresses and ports", name, len(w.sources))
		}
	}
}

// TestWrongAnswersAreFound: each is told apart from the answers that are right,
// between which it stands.
func TestWrongAnswersAreFound(t *testing.T) {
	flip := func(i int) func([]byte) [][]byte {
		return func(b []byte) [][]byte {
			if i < 0 {
				i += len(b)
			}
			b[i] ^= 1
			return [][]byte{b}
		}
	}
	for _, test := range []struct {
		name    string
		nts     bool
		stratum uint8
		change  func(b []byte) [][]byte
		want    string
	}{
		{"mode", false, 1, flip(0), "mode 5"},
		{"version", false, 1, func(b []byte) [][]byte { b[0] ^= 3 << 3; return [][]byte{b} }, "version 7"},
		{"stratum", false, 16, honestly, "stratum 16"},
		{"receive", false, 1, func(b []byte) [][]byte {
			be := binary.BigEndian
			be.PutUint64(b[32:], be.Uint64(b[32:])-2<<32)
			return [][]byte{b}
		}, "off"},
		{"transmit", false, 1, func(b []byte) [][]byte {
			be := binary.BigEndian
			be.PutUint64(b[40:], be.Uint64(b[40:])+1<<32)
			return [][]byte{b}
		}, "off"},
		{"backwards", false, 1, func(b []byte) [][]byte { copy(b[40:48], b[32:40]); b[43]--; return [][]byte{b} }, "before it was received"},
		{"trailer", false, 1, func(b []byte) [][]byte { return [][]byte{append(b, 0, 0, 0, 0)} }, "answer"},
		{"longer", true, 1, func(b []byte) [][]byte { return [][]byte{append(b, make([]byte, 28)...)} }, "answer"},
		{"header", true, 1, flip(15), "not authentic"},
		{"unique identifier", true, 1, flip(60), "unique identifier"},
		{"no unique identifier", true, 1, func(b []byte) [][]byte { return [][]byte{append(b[:48:48], b[48+36:]...)} }, "unique identifier"},
		{"unprotected", true, 1, func(b []byte) [][]byte { return [][]byte{b[:48+36]} }, "not authenticated"},
		{"ciphertext", true, 1, flip(-1), "not authentic"},
		{"nonce", true, 1, flip(48 + 36 + 8), "not authentic"},
	} {
		sessions := 0
		if test.nts {
			sessions = 4
		}
		w := serve(t, test.stratum, sessions, func(n int, b []byte) [][]byte {
			if n == 20 || test.stratum == 16 {
				return test.change(b)
			}
			return honest(n, b)
		})
		r := send(t, load{server: w.addr, sessions: w.sessions})
		if test.stratum == 16 && r.Wrong == r.Sent {
			r.Wrong, r.Answered = 1, r.Sent-1
		}
		if r.Wrong != 1 || r.Answered != r.Sent-1 || !strings.Contains(r.FirstWrong, test.want) {
			t.Errorf("%s: %v", test.name, r)
		}
	}
}

// TestAnswersToAnotherAddressAreFound: they come to our port all the same.
func TestAnswersToAnotherAddressAreFound(t *testing.T) {
	w := serve(t, 1, 0, honest)
	w.elsewhere.Store(true)
	if r := send(t, load{server: w.addr}); r.Wrong != r.Sent || !strings.Contains(r.FirstWrong, "sent to 127.9.9.9, not to 127.0.0.1") {
		t.Error(r)
	}
}

func honestly(b []byte) [][]byte { return [][]byte{b} }

// TestLostAndStrayDatagrams are neither right nor wrong.
func TestLostAndStrayDatagrams(t *testing.T) {
	w := serve(t, 1, 0, func(n int, b []byte) [][]byte {
		switch n {
		case 10:
			return nil
		case 11:
			return [][]byte{b, b}
		case 12:
			return [][]byte{b[:40], b}
		case 13:
			strange := bytes.Clone(b)
			strange[30], strange[31] = 0xff, 0xff // no such exchange
			return [][]byte{strange, b}
		case 14:
			b[24] ^= 1 // the origin timestamp
			return [][]byte{b}
		default:
			return [][]byte{b}
		}
	})
	r := send(t, load{server: w.addr})
	if r.Lost != 2 || r.Strays != 4 || r.Wrong != 0 || r.Answered != r.Sent-2 {
		t.Errorf("%v", r)
	}
}

// TestLostCookiesAreAskedForAgain, so that a load survives losses.
func TestLostCookiesAreAskedForAgain(t *testing.T) {
	w := serve(t, 1, 1, func(n int, b []byte) [][]byte {
		if n < 6 {
			return nil
		}
		return [][]byte{b}
	})
	r := send(t, load{server: w.addr, sessions: w.sessions, window: 6, count: 40})
	if r.Lost != 6 || r.Answered != 34 || r.Sent != 40 || r.Wrong != 0 || w.sessions[0].cookies.Len() != cookie.JarSize {
		t.Errorf("%v, %d cookies", r, w.sessions[0].cookies.Len())
	}
}

func TestLoadsAreBounded(t *testing.T) {
	good := load{server: netip.MustParseAddrPort("127.0.0.1:123"), addresses: 1, sockets: 1, window: 1, duration: time.Second}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*load){
		"another machine": func(l *load) { l.server = netip.MustParseAddrPort("192.0.2.1:123") },
		"IPv6":            func(l *load) { l.server = netip.MustParseAddrPort("[::1]:123") },
		"no address":      func(l *load) { l.addresses = 0 },
		"addresses":       func(l *load) { l.addresses = maxAddresses + 1 },
		"no socket":       func(l *load) { l.sockets = 0 },
		"sockets":         func(l *load) { l.sockets = maxSockets + 1 },
		"no window":       func(l *load) { l.window = 0 },
		"window":          func(l *load) { l.window = maxWindow + 1 },
		"rate":            func(l *load) { l.rate = maxRate + 1 },
		"negative rate":   func(l *load) { l.rate = -1 },
		"no time":         func(l *load) { l.duration = 0 },
		"time":            func(l *load) { l.warm = maxDuration },
		"placeholders":    func(l *load) { l.spare = 8 },
	} {
		l := good
		change(&l)
		if l.validate() == nil {
			t.Errorf("%s: allowed", name)
		}
	}
}
