package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what one direction holds before Write waits, in octets.
const bufferSize = 256 << 10

// half is one direction of a connection: a bounded queue of octets.
type half struct {
	mu     sync.Mutex
	change *sync.Cond
	data   []byte
	eof    bool  // the writer has closed
	broken error // the connection was reset, or the reader has gone
}

func newHalf() *half {
	h := new(half)
	h.change = sync.NewCond(&h.mu)
	return h
}

// deadline wakes the waiters of a half when its time has come. It is guarded
// by the mutex of that half.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (d *deadline) set(h *half, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		d.passed = true
	default:
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if d.timer == timer { // else it was set anew meanwhile
				d.passed = true
				h.change.Broadcast()
			}
		})
		d.timer = timer
	}
	h.change.Broadcast()
}

// Conn is one end of a connection.
type Conn struct {
	in, out       *half
	local, remote netip.AddrPort

	readBy, writeBy deadline
	closed          bool // guarded by in.mu
	writeClosed     bool // guarded by out.mu
}

// Pipe is a connection without a network.
func Pipe() (a, b *Conn) {
	return pair(netip.MustParseAddrPort("198.51.100.1:20000"), netip.MustParseAddrPort("192.0.2.1:4460"))
}

func pair(from, to netip.AddrPort) (client, server *Conn) {
	up, down := newHalf(), newHalf()
	return &Conn{in: down, out: up, local: from, remote: to},
		&Conn{in: up, out: down, local: to, remote: from}
}

func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read waits for octets, the end of the stream, or the deadline.
func (c *Conn) Read(b []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case c.readBy.passed:
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case h.broken != nil:
			return 0, c.fail("read", h.broken)
		case len(b) == 0:
			return 0, nil
		case len(h.data) > 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			h.change.Broadcast()
			return n, nil
		case h.eof:
			return 0, io.EOF
		}
		h.change.Wait()
	}
}

// Write queues octets for the other end and waits while its buffer is full.
func (c *Conn) Write(b []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case c.writeClosed:
			return written, c.fail("write", net.ErrClosed)
		case c.writeBy.passed:
			return written, c.fail("write", os.ErrDeadlineExceeded)
		case h.broken != nil:
			return written, c.fail("write", h.broken)
		case len(b) == 0:
			return written, nil
		}
		if n := min(len(b), bufferSize-len(h.data)); n > 0 {
			h.data = append(h.data, b[:n]...)
			b, written = b[n:], written+n
			h.change.Broadcast()
			continue
		}
		h.change.Wait()
	}
}

// CloseWrite ends the stream to the other end.
func (c *Conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.writeClosed, c.out.eof = true, true
	c.out.change.Broadcast()
	return nil
}

// Close ends both directions. Like a kernel, it resets the connection if the
// other end had sent octets that were never read.
func (c *Conn) Close() error {
	c.in.mu.Lock()
	if c.closed {
		c.in.mu.Unlock()
		return c.fail("close", net.ErrClosed)
	}
	c.closed = true
	unread := len(c.in.data) > 0
	c.in.broken = syscall.EPIPE
	c.in.change.Broadcast()
	c.in.mu.Unlock()

	if unread {
		c.breakHalf(c.out, syscall.ECONNRESET)
	}
	c.SetDeadline(time.Time{})
	return c.CloseWrite()
}

// Reset drops the connection; both ends see it, and what was on its way is
// lost.
func (c *Conn) Reset() {
	c.breakHalf(c.in, syscall.ECONNRESET)
	c.breakHalf(c.out, syscall.ECONNRESET)
}

func (c *Conn) breakHalf(h *half, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken, h.data = err, nil
	h.change.Broadcast()
}

// SetDeadline sets both deadlines; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	c.readBy.set(c.in, t)
	c.writeBy.set(c.out, t)
	return nil
}

// SetReadDeadline sets the deadline of Read, of one that waits too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.readBy.set(c.in, t)
	return nil
}

// SetWriteDeadline sets the deadline of Write, of one that waits too.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(c.out, t)
	return nil
}

// LocalAddr is a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }
