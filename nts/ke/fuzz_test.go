package ke

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// standing is a connection whose handshake was made once. A target of the
// fuzzer cannot make one for each input: that takes long, and its randomness
// looks like news to the fuzzer.
type standing struct {
	server, client *tls.Conn
	wire           *wire
	state          tls.ConnectionState // of the server
}

// wire is the server's end of the connection below TLS.
type wire struct {
	net.Conn
	records int // that were written; a write is one or more whole ones
}

func (w *wire) Write(b []byte) (int, error) {
	for rest := b; len(rest) >= 5; rest = rest[min(5+int(rest[3])<<8+int(rest[4]), len(rest)):] {
		w.records++
	}
	return w.Conn.Write(b)
}

func stand(t testing.TB) *standing {
	leaf := testcert.NewCA(t).Leaf([]string{"ke.example.net"})
	near, far := memnet.Pipe()
	w := &wire{Conn: far}
	s := &standing{
		server: tls.Server(w, harden(&tls.Config{Certificates: []tls.Certificate{leaf.TLS}})),
		client: tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{nts.ALPN}}),
		wire:   w,
	}
	done := make(chan error, 1)
	go func() { done <- s.client.Handshake() }()
	if err := errors.Join(s.server.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	s.state, w.records = s.server.ConnectionState(), 0
	return s
}

// answers are what the server has written: the content of each TLS record.
func (s *standing) answers(t *testing.T) [][]byte {
	var all [][]byte
	for ; s.wire.records > 0; s.wire.records-- {
		b := make([]byte, 16<<10)
		n, err := s.client.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b[:n])
	}
	return all
}

// speech is what a peer says, in pieces, and how it ends.
type speech struct {
	rest  []byte
	piece int
	end   error
	read  int
}

func (s *speech) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, s.end
	}
	n := copy(b[:min(len(b), s.piece)], s.rest)
	s.rest, s.read = s.rest[n:], s.read+n
	return n, nil
}

var pieces = [4]int{1 << 20, 1, 7, 300}

// ends are the ways in which a peer falls silent.
var ends = [4]error{io.EOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, io.ErrUnexpectedEOF}

// first cuts off the first message. It is not whole if there is no End of
// Message within the limit.
func first(octets []byte, limit int) (msg, rest []byte, whole bool) {
	for at := 0; at+nts.HeaderLen <= min(limit, len(octets)); {
		r, n := nts.ParseHeader([nts.HeaderLen]byte(octets[at:]))
		if at += nts.HeaderLen + n; at > min(limit, len(octets)) {
			break
		}
		if r.Type == nts.TypeEndOfMessage {
			return octets[:at], octets[at:], true
		}
	}
	return nil, octets, false
}

// What the first octet of an input of FuzzServer chooses.
const (
	authorisedByLeaf byte = 1 << iota
	noPlaces              // for kept connections
	sealFails
	stopping
	_ // two bits for pieces
	_
	_ // two bits for ends
)

// FuzzServer is the server behind the handshake, with a peer who says what it
// likes, as a stranger, as a pool that knows the token, or as one with the right
// certificate. Each message is answered once, in one TLS record, by the answer
// that it calls for; a connection stays only as long as that was granted; no
// more is read than the bounds allow; and cookies hold no keys but the client's
// own or those that a pool sent.
func FuzzServer(f *testing.F) {
	pair := stand(f)
	leaf := testcert.NewCA(f).Leaf([]string{"pool.example.net"})
	authorise := NewAuthoriser([]string{"abc"}, nil)
	withLeaf := NewAuthoriser([]string{"abc"}, []*x509.Certificate{leaf.Certificate})
	fixed := token + "000c 0040" + strings.Repeat("c1", 32) + strings.Repeat("c2", 32) + "8001 0002 0000 8004 0002 000f"
	for _, digits := range []string{
		"", ordinary + eom, ordinary, ordinary + eom + ordinary + eom, informationQ,
		token + "8009 0000 800a 0000 0008 0000" + eom + fixed + "0008 0000" + eom + fixed + eom,
		token + "8009 0000 0008 0000" + eom + ordinary + eom,
		"4002 0040" + strings.Repeat("c3", 64) + "8001 0002 0000 0004 0002 000f 4000 0000" + eom,
		token + "800b 0000 0008 0000" + eom + "c001 0000" + eom,
		"8001 0002 0000 8004 0004 001e 0011 0400 0000 000d 0001 61 4003 0001 62 0006 0009 6e74702e74657374 2e 0007 0002 007b" + eom,
		"8001 0002 8000" + eom, "8001 0002 0000 8004 0002 001e" + eom, "8002 0002 0001" + eom, "7fff 4000",
		"000e 0003 616264 8009 0000 800a 0000" + eom, "000e 0001 61 000e 0001 62" + informationQ,
		"7fff 3ffa" + strings.Repeat("00", 0x3ffa) + eom, "7fff 3ff8" + strings.Repeat("00", 0x3ff8) + eom,
	} {
		for _, how := range []byte{0, authorisedByLeaf | 1<<4, noPlaces | 1<<6, sealFails | 2<<4, stopping | 3<<4 | 2<<6} {
			f.Add(fromHex(digits), how)
		}
	}
	f.Fuzz(func(t *testing.T, said []byte, how byte) {
		x := &attended{t: t, said: said, how: how, pair: pair, authorise: authorise}
		if how&authorisedByLeaf != 0 {
			x.authorise, x.leaf = withLeaf, leaf
		}
		x.run()
		x.check()
	})
}

// attended is one connection to a server.
type attended struct {
	t         *testing.T
	said      []byte
	how       byte
	pair      *standing
	authorise *Authoriser
	leaf      *testcert.Leaf

	read     int
	answers  [][]byte
	outcomes []Kind
	sealed   []cookie
}

func (x *attended) run() {
	places := 1
	if x.how&noPlaces != 0 {
		places = 0
	}
	s := NewServer(ServerConfig{
		Seal: func() nts.Sealer { return x.seal }, Authorise: x.authorise, LongLivedConnections: places,
		Outcome: func(o Outcome) { x.outcomes = append(x.outcomes, o.Kind) }, NTPServer: "ntp.example.net", NTPPort: 123,
	})
	talk := &speech{rest: x.said, piece: pieces[x.how>>4&3], end: ends[x.how>>6]}
	p := &Peer{
		tls: x.pair.server, reader: bufio.NewReaderSize(talk, 512), state: x.pair.state,
		remote: netip.MustParseAddrPort("198.51.100.1:20000"), timeout: time.Hour,
	}
	if x.leaf != nil {
		p.Leaf = x.leaf.Certificate
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if x.how&stopping != 0 {
		cancel()
	}
	s.handle(ctx, p)
	x.read = talk.read - p.reader.Buffered()
	x.answers = x.pair.answers(x.t)
	if n := len(s.kept); n != 0 {
		x.t.Fatalf("%d places for kept connections are lost", n)
	}
}

func (x *attended) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	x.sealed = append(x.sealed, cookie{algorithm: a, c2s: string(c2s), s2c: string(s2c)})
	if x.how&sealFails != 0 {
		return nil, errors.New("no cookie key")
	}
	return bytes.Repeat([]byte{0xc0}, 104), nil
}

// authorised is what decides about privileges, for the oracle.
func (x *attended) authorised(token nts.Secret) bool {
	return token == nil && x.leaf != nil || string(token) == "abc"
}

// check follows the connection from one message to the next.
func (x *attended) check() {
	rest, read, stays := x.said, 0, true
	for i, answer := range x.answers {
		if !stays {
			x.t.Fatalf("answer %d on a connection that had ended", i)
		}
		msg, after, whole := first(rest, nts.MaxRequest)
		if !whole {
			x.want(i, answer, nts.Failure{Code: nts.BadRequest})
			if x.read > read+nts.MaxRequest {
				x.t.Fatalf("%d octets were read for %d requests", x.read, i+1)
			}
			stays = false
			continue
		}
		read += len(msg)
		if stays = x.checkAnswer(i, msg, answer); !stays && x.read != read {
			x.t.Fatalf("%d octets were read, and %d answered", x.read, read)
		}
		rest = after
	}
	ended := slices.Index(x.outcomes, KeepAliveEnded)
	if ended >= 0 != stays || stays && ended != len(x.outcomes)-1 {
		x.t.Fatalf("stays: %v, and the outcomes are %v", stays, x.outcomes)
	}
	if stays && x.how&stopping == 0 && len(rest) > 0 {
		x.t.Fatalf("%d octets were never answered", len(rest))
	}
	if n := len(slices.DeleteFunc(slices.Clone(x.outcomes), func(k Kind) bool { return k == KeepAliveEnded || k == KeepAliveRefused })); n != len(x.answers) || n == 0 {
		x.t.Fatalf("%d answers, and the outcomes are %v", len(x.answers), x.outcomes)
	}
	if slices.Contains(x.outcomes, Panicked) || slices.Contains(x.outcomes, WriteFailed) {
		x.t.Fatalf("the outcomes are %v", x.outcomes)
	}
	x.checkSealed()
}

// checkAnswer checks the answer to a whole message, and reports whether the
// connection stays.
func (x *attended) checkAnswer(i int, msg, answer []byte) bool {
	req, err := nts.DecodeRequest(msg, x.authorised)
	if err != nil {
		x.want(i, answer, nts.Failure{Code: nts.CodeOf(err)})
		return false
	}
	granted := nts.WantsKeepAlive(req) && x.how&noPlaces == 0
	switch q := req.(type) {
	case nts.KeyExchange:
		if i > 0 {
			x.want(i, answer, nts.Failure{Code: nts.BadRequest})
			return false
		}
		x.checkCookies(i, answer, q.Protocols, q.Algorithms, nts.NoDialect)
		return false
	case nts.FixedKey:
		return x.checkCookies(i, answer, []nts.Protocol{q.Protocol}, []aead.Algorithm{q.Algorithm}, keeps(q.Dialect, granted)) && granted
	case nts.Information:
		a, ok := x.decode(i, answer, nts.DecodeSupported).(nts.Supported)
		if !ok || a.KeepAlive != granted || (a.Protocols != nil) != q.Protocols || (a.Algorithms != nil) != q.Algorithms {
			x.t.Fatalf("%v was answered with %v", q, a)
		}
	case nts.Names:
		a, ok := x.decode(i, answer, nts.DecodeNames).(nts.ServerNames)
		if !ok || (a.KeepAlive != nts.NoDialect) != granted || !slices.Equal(a.Names, []string{"ntp.example.net"}) {
			x.t.Fatalf("%v was answered with %v", q, a)
		}
	}
	return granted
}

// keeps is the dialect in which a connection is kept, on the wire: there the
// first generation cannot be told from the draft's last.
func keeps(d nts.Dialect, granted bool) nts.Dialect {
	switch {
	case !granted:
		return nts.NoDialect
	case d == nts.ClientCertificate:
		return nts.Draft
	default:
		return d
	}
}

// checkCookies checks the answer to a request for cookies, and reports whether
// there are any.
func (x *attended) checkCookies(i int, answer []byte, protocols []nts.Protocol, algorithms []aead.Algorithm, kept nts.Dialect) bool {
	speaks := slices.Contains(protocols, nts.NTPv4)
	knows := slices.ContainsFunc(algorithms, nts.Negotiable)
	switch a := x.decode(i, answer, nts.DecodeResponse).(type) {
	case nts.Established:
		if !speaks || !slices.Contains(algorithms, a.Algorithm) || !nts.Negotiable(a.Algorithm) || a.Protocol != nts.NTPv4 ||
			len(a.Cookies) != nts.MaxCookies || a.KeepAlive != kept || x.how&sealFails != 0 {
			x.t.Fatalf("%v of %v was answered with %v", algorithms, protocols, a)
		}
		return true
	case nts.NoOverlap:
		if speaks && knows || (len(a.Protocol) > 0) != speaks {
			x.t.Fatalf("%v of %v was answered with %v", algorithms, protocols, a)
		}
	case nts.Failure:
		if a.Code != nts.InternalServerError || x.how&sealFails == 0 || !speaks || !knows {
			x.t.Fatalf("%v of %v was answered with %v", algorithms, protocols, a)
		}
	}
	return false
}

func (x *attended) decode(i int, answer []byte, decode func([]byte) (nts.Response, error)) nts.Response {
	resp, err := decode(answer)
	if err != nil {
		x.t.Fatalf("answer %d: %v: %x", i, err, answer)
	}
	return resp
}

func (x *attended) want(i int, answer []byte, want nts.Failure) {
	if got := x.decode(i, answer, nts.DecodeResponse); got != want {
		x.t.Fatalf("answer %d is %v instead of %v", i, got, want)
	}
}

// checkSealed: the keys in cookies are those of the connection, once and in the
// first exchange only, or were sent by an authorised pool.
func (x *attended) checkSealed() {
	for i, c := range x.sealed {
		if len(c.c2s) != c.algorithm.KeyLen() || len(c.s2c) != len(c.c2s) {
			x.t.Fatalf("keys of %d and %d octets for %v", len(c.c2s), len(c.s2c), c.algorithm)
		}
		c2s, s2c, err := nts.ExportKeys(x.pair.state.ExportKeyingMaterial, nts.NTPv4, c.algorithm, c.algorithm.KeyLen())
		own := err == nil && c.c2s == string(c2s) && c.s2c == string(s2c)
		known := x.leaf != nil || bytes.Contains(x.said, []byte("abc"))
		sent := known && bytes.Contains(x.said, []byte(c.c2s+c.s2c))
		if !own && !sent || own && (i >= nts.MaxCookies || len(x.answers) > 1) {
			x.t.Fatalf("cookie %d of %d answers has keys of its own", i, len(x.answers))
		}
	}
}
