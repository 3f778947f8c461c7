package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// recorder is a time source of the pool that writes down whose keys it was given. It is a door to the real daemon of the
// row, unless it behaves otherwise.
type recorder struct {
	t *scene.Trial
	h *lab.Host

	mu    sync.Mutex
	fails failure
	conns int             // since it fails so
	keys  map[string]bool // all that it was ever given
}

// failure is how a source fails. The zero value is honest.
type failure struct {
	name     string
	at       func(n int, c net.Conn) bool // before the handshake of the nth connection; true ends it
	answer   func(c *tls.Conn)            // in place of the answer; then the connection ends
	withKeys bool                         // only requests with keys are answered so
}

// turn makes the source fail from now on.
func (r *recorder) turn(f failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails, r.conns = f, 0
}

// has reports whether the source was given these keys.
func (r *recorder) has(keys string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[keys]
}

// asked is how many connections it had since it fails as it does.
func (r *recorder) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// recordAt starts a source at an address.
func recordAt(t *scene.Trial, h *lab.Host, addr, leaf string) *recorder {
	r := &recorder{t: t, h: h, keys: map[string]bool{}}
	t.Hostile(h, addr, t.TLSConfig(leaf), r.serve)
	return r
}

func (r *recorder) serve(c *tls.Conn) {
	r.mu.Lock()
	r.conns++
	n, fails := r.conns, r.fails
	r.mu.Unlock()
	if fails.at != nil && fails.at(n, c.NetConn()) {
		return
	}
	for {
		request, err := wholeMessage(c)
		if err != nil {
			return
		}
		keys := r.note(request)
		if fails.answer != nil && (keys || !fails.withKeys) {
			fails.answer(c)
			return
		}
		answer, err := r.honest(request)
		if err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// note writes down the keys of a request, if there are some in it.
func (r *recorder) note(request []byte) bool {
	q, err := nts.DecodeRequest(request, func(nts.Secret) bool { return true })
	fixed, ok := q.(nts.FixedKey)
	if err != nil || !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[string(fixed.C2S)+string(fixed.S2C)] = true
	return true
}

// honest is what the daemon says to a request.
func (r *recorder) honest(request []byte) ([]byte, error) {
	c, err := client(r.t, r.h, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	return wholeMessage(c)
}

// wholeMessage reads until a message is whole.
func wholeMessage(r io.Reader) ([]byte, error) {
	var all []byte
	b := make([]byte, 4096)
	for {
		n, err := r.Read(b)
		all = append(all, b[:n]...)
		if _, whole := nts.SplitMessage(all); n > 0 && whole == nil {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// sources are the pool of the row, its sources and who may have the keys of its clients.
type sources struct {
	t             *scene.Trial
	h             *lab.Host
	p             *lab.Process
	first, second *recorder
}

// asks is a client of the pool with keys of its own: what it got, and which sources have its keys.
func (s *sources) asks() (ok bool, first, second bool) {
	raw, err := s.t.Connect(s.h, poolAddr)
	s.t.Check(err)
	c := poolClient(s.t, raw)
	defer c.Close()
	s.t.Check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = c.Write(message(protocols, aeads, end))
	s.t.Check(err)
	answer, err := io.ReadAll(io.LimitReader(c, 1<<20))
	s.t.Check(err)
	state := c.ConnectionState()
	c2s, s2c, err := nts.ExportKeys(state.ExportKeyingMaterial, nts.NTPv4, aead.AESSIVCMAC256, aead.AESSIVCMAC256.KeyLen())
	s.t.Check(err)
	switch code := errorCode(answer); {
	case code == int(nts.InternalServerError):
	case code != -1 || len(answer) < 100:
		s.t.Fatal("a client got %x", answer)
	default:
		ok = true
	}
	keys := string(c2s) + string(s2c)
	first, second = s.first.has(keys), s.second.has(keys)
	if first && second {
		s.t.Fatal("%s: both sources have the keys of a client", s.first.fails.name)
	}
	if ok && !first && !second {
		s.t.Fatal("%s: a client got cookies, and no source has its keys: the row sees nothing", s.first.fails.name)
	}
	return ok, first, second
}

// restart starts the pool anew, so that it has not met its sources yet: its first client goes to the first of them.
func (s *sources) restart() {
	if s.p != nil {
		s.p.Stop()
	}
	token := ", token = \"the-token-of-the-pool\" }"
	s.p = s.t.Pool(s.h, strings.NewReplacer("second.test", "third.test", "server.test", "second.test", " }", token).Replace(poolText))
	s.t.Eventually(20*time.Second, func() error {
		if ended, err := s.p.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("the pool ended (%v): %s", err, s.p.Tail(3))}
		}
		c, err := s.t.Connect(s.h, poolAddr)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func keysOfOneSource(t *scene.Trial) {
	h := t.Host("host")
	listen := "[[server]]\nlisten = \"127.0.0.2:123\"\n[[server]]\nlisten = \"127.0.0.3:123\"\n"
	t.Serving(t.Daemon(h, "one", member("server", "127.0.0.1")+listen), "127.0.0.1:123")
	s := &sources{t: t, h: h, first: recordAt(t, h, "127.0.0.2:4460", "second"), second: recordAt(t, h, "127.0.0.3:4460", "third")}
	s.restart()
	session := t.Session(h, poolAddr, "pool.test")
	if a := useKeys(t, h, session); !a.Authentic || session.Server != "second.test" {
		t.Fatal("keys of the pool's first source, %s, do not work", session.Server)
	}
	for range 4 {
		if ok, _, _ := s.asks(); !ok {
			t.Fatal("a client of two honest sources got an error")
		}
	}
	t.Control("a client of the pool gets keys that work, and of four others the keys are with one source each")
	before := s.beforeKeys()
	after, refused, others := s.withKeys()
	t.Alive(s.p)
	t.Saw("%d failures before a source has keys: every client got those of the other; %d failures of one that has them: "+
		"%d clients got an error and %d others keys of the other source; no keys were with both", before, after, refused, others)
}

// beforeKeys are failures after which another source is asked.
func (s *sources) beforeKeys() int {
	says := func(answer []byte) func(c *tls.Conn) {
		return func(c *tls.Conn) { _, _ = c.Write(answer) }
	}
	every := func(what func(c net.Conn)) func(int, net.Conn) bool {
		return func(_ int, c net.Conn) bool { what(c); return true }
	}
	wrong := s.t.TLSConfig("server")
	failures := []failure{
		{name: "closes at once", at: every(func(net.Conn) {})},
		{name: "resets at once", at: every(reset)},
		{name: "never begins the handshake", at: every(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })},
		{name: "answers the handshake with garbage", at: every(func(c net.Conn) { _, _ = c.Write(scene.Random(300)) })},
		{name: "has the certificate of another", at: every(func(c net.Conn) { _ = tls.Server(c, wrong).Handshake() })},
		{name: "closes after the question", answer: func(*tls.Conn) {}},
		{name: "does not answer the question", answer: func(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{name: "answers with Error 0", answer: says(message(record(2, true, 0, 0), end))},
		{name: "answers with Error 2", answer: says(message(record(2, true, 0, 2), end))},
		{name: "answers with garbage", answer: says(scene.Random(300))},
		{name: "has no algorithm in common", answer: says(message(record(nts.TypeSupportedProtocols, false, 0, 0), record(nts.TypeSupportedAlgorithms, false, 0, 17, 0, 64), end))},
		// What it says to the question is right; then it is gone.
		{name: "closes when the keys are to come", answer: says(supportsAll), at: func(n int, _ net.Conn) bool { return n > 1 }},
		{name: "resets when the keys are to come", answer: says(supportsAll), at: func(n int, c net.Conn) bool {
			if n > 1 {
				reset(c)
			}
			return n > 1
		}},
	}
	for _, f := range failures {
		s.first.turn(f)
		s.restart()
		for range 3 {
			if ok, first, second := s.asks(); !ok || first || !second {
				s.t.Fatal("a source that %s: its client got keys of the other %v (with it %v, with the other %v)", f.name, ok, first, second)
			}
		}
		if n := s.first.asked(); n == 0 || f.at != nil && f.answer != nil && n < 2 {
			s.t.Fatal("a source that %s was asked %d times: the row shows nothing", f.name, n)
		}
		s.t.Alive(s.p)
	}
	return len(failures)
}

// supportsAll is a right answer to the pool's question.
var supportsAll = message(record(nts.TypeSupportedProtocols, false, 0, 0), record(nts.TypeSupportedAlgorithms, false, 0, 15, 0, 32), end)

// withKeys are failures after which the client gets an error, because its keys are with the source that failed.
func (s *sources) withKeys() (n, refused, others int) {
	says := func(answer ...[]byte) func(c *tls.Conn) {
		return func(c *tls.Conn) { _, _ = c.Write(message(answer...)) }
	}
	failures := []failure{
		{name: "closes", answer: says()},
		{name: "resets", answer: func(c *tls.Conn) { reset(c.NetConn()) }},
		{name: "stops in the middle", answer: says(protocols, aeads)},
		{name: "says nothing", answer: func(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{name: "answers with garbage", answer: says(scene.Random(300))},
		{name: "answers with Error 0", answer: says(record(2, true, 0, 0), end)},
		{name: "answers with Error 1", answer: says(record(2, true, 0, 1), end)},
		{name: "answers with Error 2", answer: says(record(2, true, 0, 2), end)},
		{name: "answers with a warning", answer: says(record(3, true, 0, 1), end)},
		{name: "has no cookies", answer: says(protocols, aeads, end)},
		{name: "has another algorithm", answer: says(protocols, record(4, true, 0, 17), cookies(8, 100), end)},
		{name: "has another protocol", answer: says(record(1, true, 0, 7), aeads, cookies(8, 100), end)},
	}
	for _, f := range failures {
		f.withKeys = true
		s.first.turn(f)
		s.restart()
		met := false
		for i := 0; i < 4 || !met; i++ {
			switch ok, first, second := s.asks(); {
			case first && ok:
				s.t.Fatal("a source that %s: its client got cookies", f.name)
			case first:
				met = true
				refused++
			case i == 20:
				s.t.Fatal("a source that %s was given no client: the row shows nothing", f.name)
			case !ok || !second:
				s.t.Fatal("a client whom the source that %s does not know got an error", f.name)
			default:
				others++
			}
		}
		s.t.Alive(s.p)
	}
	return len(failures), refused, others
}

// reset ends a connection with a reset.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
