package ke

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Peer is one connection of a client to a Front.
type Peer struct {
	// Leaf is the certificate that the client presented and has the key of,
	// or nil. It is not verified otherwise.
	Leaf *x509.Certificate

	tls      *tls.Conn
	reader   *bufio.Reader
	state    tls.ConnectionState
	remote   netip.AddrPort
	timeout  time.Duration
	deadline time.Time

	release func() bool   // of what stops it with the server
	grace   time.Duration // that it has then
	quick   bool          // it asked soon after its handshake
	asking  time.Time     // when the first request must be there

	mu      sync.Mutex
	reading time.Time // what is read must come by then
	stopped time.Time // when the server stopped, and the grace
}

// Remote is the address of the client.
func (p *Peer) Remote() netip.AddrPort { return p.remote }

// ServerName is the name by which the client came, or empty if it said none.
func (p *Peer) ServerName() string { return p.state.ServerName }

// Deadline is when the running exchange must be over.
func (p *Peer) Deadline() time.Time { return p.deadline }

// Export takes key material out of the connection.
func (p *Peer) Export(label string, context []byte, length int) ([]byte, error) {
	return p.state.ExportKeyingMaterial(label, context, length)
}

func (p *Peer) startExchange() {
	p.deadline = time.Now().Add(p.timeout)
	p.readBy(p.deadline)
	p.tls.SetWriteDeadline(p.deadline.Add(writeGrace))
}

// hurry bounds the wait for what the client does next, within the exchange.
func (p *Peer) hurry(limit time.Duration) {
	if by := time.Now().Add(limit); limit > 0 && by.Before(p.deadline) {
		p.readBy(by)
	}
}

// asksWithin waits for the first octet of the first request, and reports
// whether it has come, or nothing can come any more.
func (p *Peer) asksWithin(d time.Duration) bool {
	if by := time.Now().Add(d); by.Before(p.asking) {
		p.readBy(by)
		_, err := p.reader.Peek(1)
		p.readBy(p.asking)
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	p.readBy(p.asking)
	return true
}

// readBy bounds what is read from the client.
func (p *Peer) readBy(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = t
	p.bound()
}

// stop bounds it by the end of the server as well, from now on.
func (p *Peer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = time.Now().Add(p.grace)
	p.bound()
}

func (p *Peer) bound() {
	t := p.reading
	if !p.stopped.IsZero() && p.stopped.Before(t) {
		t = p.stopped
	}
	p.tls.SetReadDeadline(t)
}

// ReadRequest reads the request of the running exchange. The error is for
// RefusalOf.
func (p *Peer) ReadRequest() ([]byte, error) { return readMessage(p.reader, nts.MaxRequest) }

// Answer writes a whole message, at once.
func (p *Peer) Answer(msg []byte) error {
	_, err := p.tls.Write(msg)
	return err
}

// Await waits for the first octet of another request, for at most idle or
// until ctx ends, and starts the exchange's deadline with it. It reports
// whether a request has begun.
func (p *Peer) Await(ctx context.Context, idle time.Duration) bool {
	p.readBy(time.Now().Add(idle))
	stop := context.AfterFunc(ctx, func() { p.readBy(time.Unix(1, 0)) })
	_, err := p.reader.Peek(1)
	if !stop() || err != nil {
		return false
	}
	p.startExchange()
	return true
}

// close ends the connection so that the client surely has its answer: a
// close_notify ("client and server SHALL send TLS close_notify alerts", RFC
// 8915 section 4), then a bounded wait for the client to close.
func (p *Peer) close() {
	p.tls.SetWriteDeadline(time.Now().Add(writeGrace))
	if p.tls.CloseWrite() == nil {
		raw := p.tls.NetConn()
		raw.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, raw, lingerOctets)
	}
}
