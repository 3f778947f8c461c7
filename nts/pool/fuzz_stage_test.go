package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// stage is what stays from one input of FuzzPool to the next: a client whose
// handshake was made once. To make one for each input takes long, and its
// randomness looks like news to the fuzzer.
type stage struct {
	peer   *ke.Peer
	client *tls.Conn
	wire   *wire
	state  tls.ConnectionState // of the client
	log    bytes.Buffer        // of the last input
}

// wire counts the TLS records that the pool writes.
type wire struct {
	net.Conn
	records int
}

func (w *wire) Write(b []byte) (int, error) {
	for rest := b; len(rest) >= 5; rest = rest[min(5+int(rest[3])<<8+int(rest[4]), len(rest)):] {
		w.records++
	}
	return w.Conn.Write(b)
}

// one is a listener to which one client comes.
type one struct {
	come chan net.Conn
	net.Listener
}

func (l *one) Accept() (net.Conn, error) {
	if c, ok := <-l.come; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(poolAddr)) }

func newStage(t testing.TB) *stage {
	leaf := testcert.NewCA(t).Leaf([]string{"pool.example.net"})
	near, far := memnet.Pipe()
	x := &stage{wire: &wire{Conn: far}, client: tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{nts.ALPN}})}
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	peers, end := make(chan *ke.Peer), make(chan struct{})
	l := &one{come: make(chan net.Conn, 1)}
	l.come <- x.wire
	front := ke.Front{
		Listener: l, TLS: func() *tls.Config { return config }, Timeout: 1000 * time.Hour, Connections: 2,
		Outcome: func(o ke.Outcome) { t.Error(o) },
		Handle: func(_ context.Context, p *ke.Peer) {
			peers <- p
			<-end
		},
	}
	done := make(chan struct{})
	go func() {
		_ = front.Serve(context.Background()) // the listener is closed
		close(done)
	}()
	t.Cleanup(func() {
		near.Close()
		close(end)
		close(l.come)
		<-done
	})
	if err := x.client.Handshake(); err != nil {
		t.Fatal(err)
	}
	x.peer, x.state, x.wire.records = <-peers, x.client.ConnectionState(), 0
	return x
}

// script is what the hostile source says, and how.
type script struct {
	information, cookies, more []byte
	how                        uint16
}

// actor is a time source behind its handshake. It is honest if it has no script.
type actor struct {
	name   string
	token  nts.Secret
	script *script

	heard    []heard
	seenKeys bool
}

// heard is one request to a source.
type heard struct {
	raw    []byte
	req    nts.Request
	err    error
	answer []byte
}

// serve answers the requests on one connection.
func (a *actor) serve(c net.Conn) {
	defer c.Close()
	if a.script != nil && a.script.how&sheds != 0 {
		return
	}
	for {
		raw, err := readWhole(c)
		if err != nil {
			return
		}
		h := heard{raw: raw}
		h.req, h.err = nts.DecodeRequest(raw, func(token nts.Secret) bool { return token == nil || bytes.Equal(token, a.token) })
		h.answer = a.answer(h.req)
		a.heard = append(a.heard, h)
		step := len(h.answer)
		if a.script != nil && a.script.how&inPieces != 0 {
			step = 1
		}
		if step == 0 {
			return
		}
		for piece := range slices.Chunk(h.answer, step) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
		if a.script != nil && a.script.how&hangsUp != 0 {
			return
		}
	}
}

func readWhole(c io.Reader) ([]byte, error) {
	var msg []byte
	for {
		at := len(msg)
		msg = append(msg, make([]byte, nts.HeaderLen)...)
		if _, err := io.ReadFull(c, msg[at:]); err != nil {
			return nil, err
		}
		r, n := nts.ParseHeader([nts.HeaderLen]byte(msg[at:]))
		at, msg = len(msg), append(msg, make([]byte, n)...)
		if _, err := io.ReadFull(c, msg[at:]); err != nil {
			return nil, err
		}
		if r.Type == nts.TypeEndOfMessage {
			return msg, nil
		}
	}
}

// answer is what the source says; nothing ends the connection.
func (a *actor) answer(req nts.Request) []byte {
	dialect, keys, names := nts.NoDialect, false, false
	switch q := req.(type) {
	case nts.Information:
		dialect = q.Dialect
	case nts.Names:
		dialect, names = q.Dialect, true
	case nts.FixedKey:
		dialect, keys = q.Dialect, true
		a.seenKeys = true
	}
	s := a.script
	if s == nil || names && s.how&saysNames == 0 {
		return a.honestly(req)
	}
	speaks := nts.Dialect(s.how / dialectBefore & 3)
	if a.seenKeys {
		speaks = nts.Dialect(s.how / dialectAfter & 3)
	}
	switch {
	case speaks != nts.NoDialect && speaks != dialect:
		return fromHex(refuses0)
	case keys && s.how&hangsUpNow != 0:
		return nil
	case keys:
		return s.cookies
	case dialect == nts.NoDialect, names, a.seenKeys && len(s.more) > 0:
		return s.more
	default:
		return s.information
	}
}

func (a *actor) honestly(req nts.Request) []byte {
	s := nts.Server{NTPServer: "ntp." + a.name}
	out, _, _ := s.Respond(nil, req, nts.Session{
		Export:    func(string, []byte, int) ([]byte, error) { return nil, syscall.EPERM },
		Seal:      func(aead.Algorithm, []byte, []byte) ([]byte, error) { return []byte("cookie of " + a.name), nil },
		KeepAlive: true,
	})
	return out
}

// play runs a pool for one input and gives the last outcome.
func (x *stage) play(t *testing.T, request []byte, s script) Outcome {
	r := &run{stage: x, t: t, request: request, script: s}
	x.log.Reset()
	for i := range 3 {
		if i == 2 && s.how&noThird != 0 {
			break
		}
		a := &actor{name: fmt.Sprintf("s%d.example.net", i), token: nts.Secret(fmt.Sprintf("the token of source %d", i))}
		if i == 0 || i == 1 && s.how&alsoSecond != 0 {
			a.script = &s
		}
		r.actors = append(r.actors, a)
	}
	r.start()
	r.exchange()
	if s.how&twice != 0 {
		r.exchange()
	}
	r.stop()
	return r.access[len(r.access)-1].Outcome
}

// run is one pool with its sources.
type run struct {
	*stage
	t       *testing.T
	request []byte
	script  script
	actors  []*actor
	pool    *Pool
	access  []Access
}

func (r *run) start() {
	config := Config{
		Listener: new(one),
		TLS:      func() *tls.Config { return nil },
		Client: &ke.Client{
			Dial: r.dial,
			Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				i := slices.IndexFunc(r.actors, func(a *actor) bool { return a.name == host })
				return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, nil
			},
			Handshake: func(raw net.Conn, _ *tls.Config) (net.Conn, tls.ConnectionState, error) {
				_, err := raw.Read(nil) // fails when the time is over
				return raw, r.state, err
			},
		},
		Uniform: func(uint64) uint64 { return 0 }, // in the order of the file
		Access:  func(a Access) { r.access = append(r.access, a) },
		Log:     slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, a := range r.actors {
		config.Sources = append(config.Sources, Source{Domain: a.name, Port: 4460, Weight: 1, Token: a.token})
	}
	var err error
	if r.pool, err = New(config); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := r.actors[netip.MustParseAddrPort(addr).Addr().As4()[3]]
	if a.script != nil && r.script.how&absent != 0 {
		return nil, syscall.ECONNREFUSED
	}
	near, far := memnet.Pipe()
	go a.serve(far)
	return near, nil
}

// stop ends the pool, of which nothing may be left.
func (r *run) stop() {
	time.Sleep(askTimeout) // of the bubble: a source may leave a question open that long
	for _, s := range r.pool.Status().Sources {
		if s.Families[0].Busy != 0 {
			r.t.Fatalf("%s has %d connections in use", s.Source, s.Families[0].Busy)
		}
	}
	r.pool.end()
	for _, m := range *r.pool.broker.members.Load() {
		m.retire()
	}
	r.pool.upstream.running.Wait()
	said := slices.Concat(r.request, r.script.information, r.script.cookies, r.script.more)
	for _, a := range r.actors {
		if bytes.Contains(r.log.Bytes(), a.token) && !bytes.Contains(said, a.token) {
			r.t.Fatalf("a token is logged:\n%s", r.log.String())
		}
	}
}

// exchange serves the client once.
func (r *run) exchange() {
	for _, a := range r.actors {
		a.heard = nil
	}
	if _, err := r.client.Write(r.request); err != nil {
		r.t.Fatal(err)
	}
	n := len(r.access)
	r.pool.handle(context.Background(), r.peer)
	synctest.Wait() // for questions that go on behind the client
	if r.wire.records != 1 || len(r.access) != n+1 {
		r.t.Fatalf("answered in %d records, and told of %d times", r.wire.records, len(r.access)-n)
	}
	r.wire.records = 0
	answer := make([]byte, 16<<10)
	size, err := r.client.Read(answer)
	if err != nil {
		r.t.Fatal(err)
	}
	r.check(answer[:size], r.access[n])
}

// forClients are the records that a client may be sent.
var forClients = []uint16{
	nts.TypeEndOfMessage, nts.TypeNextProtocol, nts.TypeError, nts.TypeAlgorithm, nts.TypeCookie,
	nts.TypeServer, nts.TypePort, nts.TypeCompliantGCMSIV,
}

func (r *run) check(answer []byte, how Access) {
	records, err := nts.SplitMessage(answer)
	if err != nil {
		r.t.Fatalf("%v: %x", err, answer)
	}
	for _, rec := range records {
		if !slices.Contains(forClients, rec.Type) {
			r.t.Fatalf("record %d is none for clients: %x", rec.Type, answer)
		}
	}
	resp, err := nts.DecodeResponse(answer)
	if err != nil {
		r.t.Fatalf("%v: %x", err, answer)
	}
	req, err := nts.DecodeRequest(r.request, nil)
	q, ok := req.(nts.KeyExchange)
	if !ok || !slices.Contains(q.Protocols, nts.NTPv4) {
		r.checkAlone(resp, how, err)
		return
	}
	chosen := r.checkHeard(q)
	switch a := resp.(type) {
	case nts.Established:
		if how.Outcome != Served || chosen == nil || how.Source != chosen.name+":4460" {
			r.t.Fatalf("%v of %q, and %v gave %v", how.Outcome, how.Source, chosen, a)
		}
		r.checkEstablished(q, a, chosen)
	case nts.NoOverlap:
		if how.Outcome != NoOverlap || chosen != nil || !slices.Equal(a.Protocol, []nts.Protocol{nts.NTPv4}) || slices.Contains(q.Algorithms, aead.AESSIVCMAC256) {
			r.t.Fatalf("%v: %v", how.Outcome, a)
		}
	case nts.Failure:
		if a.Code != nts.InternalServerError || (how.Outcome == SourceFailed) != (chosen != nil) ||
			!slices.Contains([]Outcome{SourceFailed, NoSource, Repeated}, how.Outcome) {
			r.t.Fatalf("%v: %v", how.Outcome, a)
		}
	}
}

// checkAlone: what no source can be asked about is answered by the pool itself.
func (r *run) checkAlone(resp nts.Response, how Access, malformed error) {
	for _, a := range r.actors {
		if len(a.heard) > 0 {
			r.t.Fatalf("%s was asked: %x", a.name, a.heard[0].raw)
		}
	}
	var want nts.Response = nts.NoOverlap{}
	outcome := NoOverlap
	if malformed != nil {
		code := nts.CodeOf(malformed)
		want, outcome = nts.Failure{Code: code}, map[nts.ErrorCode]Outcome{nts.BadRequest: BadRequest, nts.UnrecognizedCriticalRecord: Unrecognized}[code]
	}
	if fmt.Sprint(resp) != fmt.Sprint(want) || how.Outcome != outcome {
		r.t.Fatalf("%v: %v instead of %v", how.Outcome, resp, want)
	}
}

// checkHeard checks what the sources were told, and gives the one that has the
// client's keys.
func (r *run) checkHeard(q nts.KeyExchange) (chosen *actor) {
	denied := map[string]bool{}
	for _, d := range q.Deny[:min(len(q.Deny), mostDenied)] {
		denied[nts.CanonicalServer(d.Name)] = true
	}
	for _, a := range r.actors {
		keys := 0
		for _, h := range a.heard {
			for _, other := range r.actors {
				if other != a && bytes.Contains(h.raw, other.token) {
					r.t.Fatalf("%s was told the token of %s", a.name, other.name)
				}
			}
			if h.err != nil {
				r.t.Fatalf("%s was asked %x: %v", a.name, h.raw, h.err)
			}
			f, ok := h.req.(nts.FixedKey)
			if !ok {
				continue
			}
			c2s, s2c, err := nts.ExportKeys(r.peer.Export, nts.NTPv4, f.Algorithm, len(f.C2S))
			if err != nil || !bytes.Equal(f.C2S, c2s) || !bytes.Equal(f.S2C, s2c) || f.Protocol != nts.NTPv4 || !slices.Contains(q.Algorithms, f.Algorithm) ||
				f.Algorithm == nts.AES128GCMSIV && !q.CompliantGCMSIV {
				r.t.Fatalf("%s was given other keys than those of the client, for %v: %v", a.name, f.Algorithm, err)
			}
			keys++
		}
		switch {
		case keys == 0:
		case chosen != nil:
			r.t.Fatalf("%s and %s have the client's keys", chosen.name, a.name)
		case keys > 4 || denied[a.name]:
			r.t.Fatalf("%s was given keys %d times; denied: %v", a.name, keys, denied)
		default:
			chosen = a
		}
	}
	return chosen
}

// checkEstablished: what the client gets is what the source gave for its keys.
func (r *run) checkEstablished(q nts.KeyExchange, got nts.Established, from *actor) {
	i := len(from.heard) - 1
	for ; ; i-- {
		if _, ok := from.heard[i].req.(nts.FixedKey); ok {
			break
		}
	}
	asked := from.heard[i].req.(nts.FixedKey)
	resp, err := nts.DecodeResponse(heardOf(from.heard[i].answer))
	gave, ok := resp.(nts.Established)
	if err != nil || !ok || gave.Protocol != nts.NTPv4 || gave.Algorithm != asked.Algorithm {
		r.t.Fatalf("%s answered %v, %v, for %v", from.name, resp, err, asked.Algorithm)
	}
	server := gave.Server
	if server == "" {
		server = from.name
	}
	siv := got.Algorithm == nts.AES128GCMSIV
	if got.Algorithm != asked.Algorithm || got.Protocol != nts.NTPv4 || got.Server != server || got.Port != gave.Port || got.KeepAlive != nts.NoDialect ||
		got.CompliantGCMSIV != siv || siv && !q.CompliantGCMSIV || !slices.EqualFunc(got.Cookies, gave.Cookies, bytes.Equal) {
		r.t.Fatalf("%v was made of %v", got, gave)
	}
	said := slices.ContainsFunc(r.supportedBy(from), func(s nts.SupportedAlgorithm) bool {
		return s.ID == asked.Algorithm && int(s.KeyLen) == len(asked.C2S)
	})
	if !said {
		r.t.Fatalf("%s never said that it supports %v with keys of %d octets", from.name, asked.Algorithm, len(asked.C2S))
	}
}

// heardOf is what the pool hears of an answer: its first message.
func heardOf(answer []byte) []byte {
	msg, err := readWhole(bytes.NewReader(answer))
	if err != nil {
		return nil
	}
	return msg
}

// supportedBy is all that a source can have said to support, in this exchange
// or the one before.
func (r *run) supportedBy(a *actor) (all []nts.SupportedAlgorithm) {
	says := [][]byte{a.honestly(nts.Information{Dialect: nts.IANA, Algorithms: true, Protocols: true})}
	if a.script != nil {
		says = [][]byte{a.script.information, a.script.more}
	}
	for _, answer := range says {
		if resp, err := nts.DecodeSupported(heardOf(answer)); err == nil {
			if s, ok := resp.(nts.Supported); ok {
				all = append(all, s.Algorithms...)
			}
		}
	}
	return all
}
