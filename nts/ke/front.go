package ke

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Defaults of the limits.
const (
	DefaultTimeout     = time.Second
	DefaultConnections = 512
)

const (
	// writeGrace is what an answer may take beyond the deadline of the
	// exchange: a client that was too slow is still told so.
	writeGrace = 250 * time.Millisecond

	// lingerTime and lingerOctets bound the wait for a client to close after
	// its answer. Closing with unread octets would reset the connection, and
	// the client might lose the answer.
	lingerTime   = 500 * time.Millisecond
	lingerOctets = 64 << 10

	// stopGrace is how long a client may take for its request once the server
	// stops: enough for one that is on its way, and nothing for one that idles.
	stopGrace = 250 * time.Millisecond

	// quickly is how soon most clients ask after their handshake.
	quickly = 100 * time.Millisecond

	// The wait after a failed accept, such as one without file descriptors.
	acceptWaitMin = 5 * time.Millisecond
	acceptWaitMax = time.Second
)

// Front is the side of a key-exchange server that faces the network. Its
// fields are read when Serve starts.
type Front struct {
	Listener net.Listener

	// TLS gives the configuration for the next connection, with at least a
	// certificate; versions, application protocol and tickets are set here.
	TLS func() *tls.Config

	// Timeout bounds a whole exchange: handshake, request and answer.
	Timeout time.Duration

	// Handshake and Request bound these parts of it, if they are not 0.
	Handshake, Request time.Duration

	// Drain is what clients that are connected get when the server stops, to
	// ask and be answered; little if it is 0.
	Drain time.Duration

	// Connections bounds those that are open at once; more of them wait in
	// the kernel's queue.
	Connections int

	// Turns, if not nil, bounds the handshakes that are computed at once.
	Turns *Turns

	// Leaf reports whether a client certificate belongs to an authorised
	// pool. If it is nil, no client is asked for a certificate.
	Leaf func(*x509.Certificate) bool

	// Outcome is told what happens; it must not block.
	Outcome func(Outcome)

	// Handle serves one connection whose handshake is done and whose
	// application protocol is right. The context ends when the server stops.
	Handle func(context.Context, *Peer)
}

// Serve accepts connections until ctx ends or the listener is closed, and
// returns when the last connection has finished: what was asked by then is
// answered, but no request is waited for. An error of the listener is
// reported and accepting goes on: a shortage of file descriptors passes.
func (f *Front) Serve(ctx context.Context) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // connections that rest end with the listener

	stop := context.AfterFunc(ctx, func() { f.Listener.Close() })
	defer stop()

	free := make(chan struct{}, f.Connections)
	hands := hands{next: make(chan func()), spare: make(chan struct{}, spareHands)}
	configs := hardened{source: f.TLS, leaf: f.Leaf, turns: f.Turns != nil}
	wait := acceptWaitMin
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := f.Listener.Accept()
		if err != nil {
			<-free
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept connections: %w", err)
			}
			f.Outcome(Outcome{Kind: AcceptFailed, Detail: err.Error()})
			if !sleep(ctx, wait) {
				return nil
			}
			wait = min(2*wait, acceptWaitMax)
			continue
		}
		wait = acceptWaitMin
		config := configs.next()
		hands.give(ctx, &connections, func() {
			var p *Peer
			f.guard(conn, func() { p = f.greet(ctx, conn, config) })
			if p == nil {
				conn.Close()
				<-free
				return
			}
			serve := func() {
				defer func() { <-free }()
				defer conn.Close()
				defer p.release()
				f.guard(conn, func() {
					f.Handle(ctx, p)
					p.close()
				})
			}
			if p.quick {
				serve()
				return
			}
			// A client that takes its time does not hold the stack of its
			// handshake.
			connections.Go(serve)
		})
	}
}

// hands are the goroutines that serve connections. Some of them wait for
// another connection when they have served one: a handshake needs a deep stack,
// and growing one each time costs more than the exchange behind it.
type hands struct {
	next  chan func()
	spare chan struct{}
}

// spareHands is how many wait at most.
const spareHands = 8

// give has work done by one that waits, or by a new one.
func (h *hands) give(ctx context.Context, all *sync.WaitGroup, work func()) {
	select {
	case h.next <- work:
		return
	default:
	}
	all.Go(func() {
		for more := true; more; {
			work()
			select {
			case h.spare <- struct{}{}:
			default:
				return
			}
			select {
			case work = <-h.next:
			case <-ctx.Done():
				more = false
			}
			<-h.spare
		}
	})
}

// sleep waits and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hardened remembers the last configuration, so that it is copied only when
// it changes.
type hardened struct {
	source   func() *tls.Config
	leaf     func(*x509.Certificate) bool
	turns    bool
	from, to *tls.Config
}

func (h *hardened) next() *tls.Config {
	config := h.source()
	if config == h.from {
		return h.to
	}
	h.from, h.to = config, harden(config)
	h.to.ClientAuth = tls.NoClientCert
	if h.leaf != nil {
		// Asked for, but not verified: an authorised certificate is known by
		// its octets; the handshake proves that the client has its key.
		h.to.ClientAuth = tls.RequestClientCert
	}
	if h.turns {
		inTurn(h.to)
	}
	return h.to
}

// greet takes one connection through the handshake. It returns nil if nothing
// came of it.
func (f *Front) greet(ctx context.Context, conn net.Conn, config *tls.Config) *Peer {
	p := &Peer{
		timeout: f.Timeout,
		remote:  AddrPort(conn.RemoteAddr()),
		grace:   cmp.Or(f.Drain, stopGrace),
	}
	if f.Turns != nil {
		t := &turn{Conn: conn, turns: f.Turns, network: Network(p.remote.Addr())}
		defer t.pass() // in case that nothing was written
		conn = t
	}
	p.tls = tls.Server(conn, config)
	p.release = context.AfterFunc(ctx, p.stop)
	through := false
	defer func() {
		if !through {
			p.release()
		}
	}()
	p.startExchange()
	p.hurry(f.Handshake)
	if err := p.tls.Handshake(); err != nil {
		kind := HandshakeFailed
		if errors.Is(err, errCrowded) {
			kind = Shed
		}
		f.Outcome(Outcome{kind, p.remote, fmt.Sprintf("%.200q", err.Error())})
		return nil
	}
	p.state = p.tls.ConnectionState()
	if len(p.state.PeerCertificates) > 0 {
		p.Leaf = p.state.PeerCertificates[0]
	}
	// Go accepts a client that offers no application protocol at all. The
	// first generation of pools does that, with its certificate.
	if p.state.NegotiatedProtocol != nts.ALPN && (f.Leaf == nil || !f.Leaf(p.Leaf)) {
		f.Outcome(Outcome{NoALPN, p.remote, ""})
		p.close()
		return nil
	}
	p.reader = bufio.NewReaderSize(p.tls, 512)
	p.asking = p.deadline
	if by := time.Now().Add(f.Request); f.Request > 0 && by.Before(p.asking) {
		p.asking = by
	}
	p.quick = p.asksWithin(quickly)
	through = true
	return p
}

// RefusalOf tells how to answer a request that could not be read: with Error 1,
// and whether that is because the time was over.
//
// RFC 8915 section 4.1.3: "The server MUST respond with this error if the
// request is not complete and syntactically well-formed, or, upon the
// expiration of an implementation-defined timeout, it has not yet received
// such a request."
func RefusalOf(err error) Kind {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return RequestTimeout
	}
	return BadRequest
}
