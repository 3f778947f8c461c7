package ke

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Target is a key-exchange server as a client sees it.
type Target struct {
	Host string // a domain name or an address
	Port uint16

	// Addrs are the addresses to try, in order. If there are none, Host is
	// resolved.
	Addrs []netip.AddrPort

	// ServerName is the name that the certificate must carry, if it is not
	// Host.
	ServerName string

	// Roots are the authorities that may vouch for the certificate; nil are
	// the system's.
	Roots *x509.CertPool

	// Earliest, if it is not zero, lets certificates be valid at another time
	// than now, from this one on: see ClientRequest.
	Earliest time.Time

	// Network is "tcp4" or "tcp6" to use only such addresses, or empty.
	Network string

	// Sessions lets TLS resume a session with the server. Nothing can then be
	// exported from the connection: a key exchange gives every client keys of
	// a handshake of its own. Nil resumes nothing.
	Sessions tls.ClientSessionCache
}

// ErrFamily is a server without an address of the network that was asked for.
var ErrFamily = errors.New("it has no address of this family")

// ErrResumable is an attempt to take keys out of a connection that may be a
// resumed one.
var ErrResumable = errors.New("no keys are taken out of a connection that may be resumed")

func (t *Target) name() string {
	name := t.ServerName
	if name == "" {
		name = t.Host
	}
	return strings.TrimSuffix(name, ".")
}

// Conn is a connection of a client to a key-exchange server whose certificate
// and application protocol are right.
type Conn struct {
	tls    net.Conn // a *tls.Conn, once its handshake is done
	reader *bufio.Reader
	target Target
	state  tls.ConnectionState
	remote netip.AddrPort
	heard  bool // an octet has come since the last request

	provisional bool     // the certificates are not valid now
	validity    Validity // where Earliest was given
}

// Connect makes a connection. Every error is an *Error.
func (c *Client) Connect(ctx context.Context, target Target) (*Conn, error) {
	conn, err := c.connect(ctx, target)
	if err != nil {
		err.Host, err.Port = target.Host, target.Port
		return nil, err
	}
	return conn, nil
}

// connect tries the addresses in order, each with a fair part of the time
// left, until a server speaks.
func (c *Client) connect(ctx context.Context, target Target) (*Conn, *Error) {
	addrs := target.Addrs
	if len(addrs) == 0 {
		var err error
		if addrs, err = c.lookup(ctx, target.Host, target.Port); err != nil {
			return nil, networkError("look up the name", contextCause(ctx, err))
		}
	}
	if addrs = target.usable(addrs); len(addrs) == 0 {
		return nil, &Error{Class: ClassDNS, What: "look up the name", Err: ErrFamily}
	}
	var first *Error
	for i, addr := range addrs {
		attempt, cancel := fairShare(ctx, len(addrs)-i)
		conn, err := c.open(attempt, target, addr)
		cancel()
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil || !err.silent() {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// silent reports whether a server at another address may do better: nothing
// that TLS or a certificate says was heard from this one.
func (e *Error) silent() bool {
	return e.Class == ClassNetwork || e.Class == ClassRefused || e.Class == ClassTimeout
}

// open makes a connection to one address.
func (c *Client) open(ctx context.Context, target Target, addr netip.AddrPort) (*Conn, *Error) {
	dial := c.Dial
	if dial == nil {
		var d net.Dialer
		d.SetMultipathTCP(false)
		dial = d.DialContext
	}
	raw, err := dial(ctx, "tcp", addr.String())
	if err != nil {
		return nil, networkError("connect", contextCause(ctx, err))
	}
	conn := &Conn{tls: raw, target: target, remote: AddrPort(raw.RemoteAddr())}
	config := c.tlsConfig(target)
	conn.coldStart(config, c.Now)
	release := conn.bind(ctx)
	defer release()
	if conn.tls, conn.state, err = c.handshake(raw, config); err != nil {
		raw.Close()
		return nil, handshakeError(target.name(), contextCause(ctx, err))
	}
	// RFC 8915 section 4: the handshake has "the client offering (via an ALPN
	// extension), and the server accepting, an application-layer protocol of
	// ntske/1".
	if conn.state.NegotiatedProtocol != nts.ALPN {
		conn.Close()
		return nil, &Error{Class: ClassALPN, What: "TLS handshake",
			Err:  errors.New("the server did not accept " + nts.ALPN),
			Hint: "is this the port of its key exchange?"}
	}
	conn.reader = bufio.NewReader(conn.tls)
	return conn, nil
}

func (c *Client) handshake(raw net.Conn, config *tls.Config) (net.Conn, tls.ConnectionState, error) {
	if c.Handshake != nil {
		return c.Handshake(raw, config)
	}
	conn := tls.Client(raw, config)
	err := conn.Handshake()
	return conn, conn.ConnectionState(), err
}

// usable leaves the addresses of the target's network.
func (t *Target) usable(addrs []netip.AddrPort) []netip.AddrPort {
	if t.Network != "tcp4" && t.Network != "tcp6" {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool {
		return a.Addr().Unmap().Is4() != (t.Network == "tcp4")
	})
}

func (c *Client) tlsConfig(target Target) *tls.Config {
	config := harden(&tls.Config{
		ServerName: target.name(),
		RootCAs:    target.Roots,
		Time:       c.Now,
	})
	if target.Sessions != nil {
		config.SessionTicketsDisabled, config.ClientSessionCache = false, target.Sessions
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c.Certificate != nil {
			if cert := c.Certificate(); cert != nil {
				return cert, nil
			}
		}
		return new(tls.Certificate), nil // none
	}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		// A self-signed certificate would pass if it is its own authority.
		// Then whoever holds a server's key could make certificates for
		// everybody in its name.
		if isSelfSigned(s.PeerCertificates[0]) {
			return errSelfSigned
		}
		return nil
	}
	return config
}

// fairShare is an equal part of the time left, for the next of some attempts.
func fairShare(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || parts == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(parts))
}

func (c *Client) lookup(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr, port)}, nil
	}
	lookup := c.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]netip.AddrPort, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a.Unmap(), port))
	}
	return out, nil
}

// bind makes the context's end the connection's deadline, until release. What
// the end has begun is over then, and does not end what comes next.
func (c *Conn) bind(ctx context.Context) (release func()) {
	deadline, _ := ctx.Deadline()
	conn := c.tls                  // which the handshake replaces
	_ = conn.SetDeadline(deadline) // shows in what follows
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-ended
		}
	}
}

// contextCause prefers the context's reason over the deadline that carried it
// out.
func contextCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// RoundTrip sends a whole message, in one write, and reads a whole message.
// The error is an *Error.
func (c *Conn) RoundTrip(ctx context.Context, request []byte) (response []byte, err error) {
	fail := func(what string, err error) ([]byte, error) {
		e := networkError(what, contextCause(ctx, err))
		if errors.Is(err, errTooLong) {
			e.Class = ClassProtocol
		}
		e.Host, e.Port = c.target.Host, c.target.Port
		return nil, e
	}
	release := c.bind(ctx)
	defer release()
	c.heard = false
	if _, err := c.tls.Write(request); err != nil {
		return fail("send the request", err)
	}
	if _, err := c.reader.Peek(1); err != nil {
		return fail("read the answer", err)
	}
	c.heard = true
	if response, err = readMessage(c.reader, nts.MaxResponse); err != nil {
		return fail("read the answer", err)
	}
	return response, nil
}

// Remote is the address of the server.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Heard reports whether the server has sent anything since the last request.
func (c *Conn) Heard() bool { return c.heard }

// Rest begins the rest of a connection between two exchanges, until a time or
// until Wake. The func that it returns waits for the end, and reports whether
// the connection can be used again: a server that has closed it, or that says
// something unasked, must not answer the next request on it.
func (c *Conn) Rest(until time.Time) (watch func() bool) {
	c.tls.SetReadDeadline(until)
	return func() bool {
		_, err := c.reader.Peek(1)
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
}

// Wake ends a rest.
func (c *Conn) Wake() { c.tls.SetReadDeadline(time.Unix(1, 0)) }

// Resumed reports whether the handshake resumed a session.
func (c *Conn) Resumed() bool { return c.state.DidResume }

// Export takes key material out of the connection. It fails with ErrResumable
// if the target had Sessions.
func (c *Conn) Export(label string, context []byte, length int) ([]byte, error) {
	if c.target.Sessions != nil {
		return nil, ErrResumable
	}
	return c.state.ExportKeyingMaterial(label, context, length)
}

// NotAfter is when the server's certificate expires.
func (c *Conn) NotAfter() time.Time { return c.state.PeerCertificates[0].NotAfter }

// Close sends the close_notify of RFC 8915 section 4 and closes.
func (c *Conn) Close() error {
	_ = c.tls.SetDeadline(time.Now().Add(writeGrace)) // shows in what follows
	return c.tls.Close()
}

// failure completes an error with the server that it is about.
func (c *Conn) failure(e Error) *Error {
	e.Host, e.Port = c.target.Host, c.target.Port
	return &e
}

// Decode turns an answer into a value by one of the decoders of package nts
// and an Error record into an *Error.
func (c *Conn) Decode(msg []byte, decode func([]byte) (nts.Response, error)) (nts.Response, error) {
	resp, err := decode(msg)
	if err != nil {
		return nil, c.failure(Error{Class: ClassProtocol, What: "the answer is wrong", Err: err,
			Hint: "this is a fault of the server"})
	}
	if f, ok := resp.(nts.Failure); ok {
		return nil, c.failure(serverError(f.Code))
	}
	return resp, nil
}

func serverError(code nts.ErrorCode) Error {
	e := Error{Class: ClassServerError, Code: code, What: "the server answered with the error: " + code.String()}
	switch code {
	case nts.UnrecognizedCriticalRecord, nts.BadRequest:
		e.Hint = "it does not accept this request, and will not accept it later"
	case nts.InternalServerError:
		e.Hint = "the server or pool has a problem; it may pass"
	}
	return e
}
