package ke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// DefaultClientTimeout bounds an exchange whose context has no deadline.
const DefaultClientTimeout = 10 * time.Second

// maxOwnRequest bounds the requests that a Client sends, in octets: what
// servers in use accept (ntpd-rs: 4096).
const maxOwnRequest = 4096

// Client makes key exchanges. The zero value is ready; it may be used by
// several goroutines.
type Client struct {
	// Dial makes TCP connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Lookup resolves host names; nil is the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	// Certificate gives the certificate that is presented to servers that ask
	// for one, as they ask a pool; nil, or a nil result, is none.
	Certificate func() *tls.Certificate

	// Now is the time by which certificates are valid; nil is time.Now.
	Now func() time.Time

	// Handshake takes a connection through its handshake; nil is that of
	// crypto/tls. Whoever replaces it answers for all that config asks for. It
	// is there for tests of what is said behind the handshake.
	Handshake func(raw net.Conn, config *tls.Config) (net.Conn, tls.ConnectionState, error)
}

// ClientRequest is what a time client wants.
type ClientRequest struct {
	Host string // of the key-exchange server: a domain name or an address
	Port uint16 // DefaultPort if 0

	// Addrs are the addresses of Host if they are known already, to be tried
	// in order.
	Addrs []netip.AddrPort

	// ServerName is the name that the certificate must carry, if it is not
	// Host.
	ServerName string

	// Algorithms are offered in this order; if there are none, AES-SIV-CMAC
	// with 512 and then with 256 bits.
	Algorithms []aead.Algorithm

	// Deny are the servers that the client does not want from a pool, spelled
	// as earlier Server records were.
	Deny []string

	// Earliest, if it is not zero, is for a machine that does not know the
	// time: a chain of certificates that is not valid by this machine's clock
	// will do if it is valid at some moment from Earliest on. The result then
	// says that it is provisional, and when the chain is valid.
	Earliest time.Time

	// Roots are the authorities that may vouch for the certificate; nil are
	// the system's.
	Roots *x509.CertPool
}

// Result is what a key exchange gave.
type Result struct {
	// Server is where the NTP server is: the Server record, spelled as it
	// was, or else the host of the key exchange.
	Server string

	// ServerNamed is whether there was a Server record. Without it the NTP
	// server has the address of the key-exchange server, Remote: "the client
	// SHALL interpret this as a directive to associate with an NTPv4 server at
	// the same IP address" (RFC 8915 section 4.1.7).
	ServerNamed bool

	Port      uint16 // UDP, of the NTP server
	Algorithm aead.Algorithm
	C2S, S2C  nts.Secret
	Cookies   [][]byte // 1 to 8

	Remote              netip.AddrPort // of the key-exchange server
	CertificateNotAfter time.Time

	// Provisional says that the certificates are not valid by this machine's
	// clock: nothing may be believed until a time is known that is within
	// Validity. Both are only set where Earliest was given.
	Provisional bool
	Validity    Validity
}

// Exchange makes one key exchange. The context bounds all of it, from the
// lookup of the name on; without a deadline DefaultClientTimeout does. Every
// error is an *Error.
func (c *Client) Exchange(ctx context.Context, req ClientRequest) (Result, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultClientTimeout)
		defer cancel()
	}
	if req.Port == 0 {
		req.Port = nts.DefaultPort
	}
	if len(req.Algorithms) == 0 {
		req.Algorithms = []aead.Algorithm{aead.AESSIVCMAC512, aead.AESSIVCMAC256}
	}
	conn, err := c.Connect(ctx, Target{
		Host: req.Host, Port: req.Port, Addrs: req.Addrs, ServerName: req.ServerName, Roots: req.Roots,
		Earliest: req.Earliest,
	})
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()

	msg, err := conn.RoundTrip(ctx, ordinaryRequest(req))
	if err != nil {
		return Result{}, err
	}
	resp, err := conn.Decode(msg, nts.DecodeResponse)
	if err != nil {
		return Result{}, err
	}
	switch a := resp.(type) {
	case nts.Established:
		return conn.result(req, a)
	case nts.NoOverlap:
		return Result{}, conn.noOverlap(a)
	default:
		return Result{}, conn.failure(Error{Class: ClassProtocol, What: fmt.Sprintf("unexpected answer %T", a)})
	}
}

// ordinaryRequest is the request of RFC 8915 with the Deny records of pools,
// in both numbers that are in use. As many servers are denied as fit into a
// request that every server reads.
func ordinaryRequest(req ClientRequest) []byte {
	q := nts.KeyExchange{Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: req.Algorithms}
	msg, err := nts.AppendRequest(nil, q)
	for _, name := range req.Deny {
		q.Deny = append(q.Deny, nts.DenyInEveryDialect([]string{name})...)
		longer, lerr := nts.AppendRequest(nil, q)
		if lerr != nil || len(longer) > maxOwnRequest {
			break
		}
		msg = longer
	}
	if err != nil {
		panic(err) // a list of algorithms always fits
	}
	return msg
}

// result checks that the answer is one that was asked for, and takes the keys.
func (c *Conn) result(req ClientRequest, a nts.Established) (Result, error) {
	// "Protocol IDs listed in the NTS-KE server's response MUST comprise a
	// subset of those listed in the request" (RFC 8915 section 4.1.2), and "servers
	// may select among any of the client's offered choices" (4.1.5).
	if a.Protocol != nts.NTPv4 {
		return Result{}, c.failure(Error{Class: ClassProtocol,
			What: fmt.Sprintf("the server chose %v, which was not offered", a.Protocol), Hint: "this is a fault of the server"})
	}
	if !slices.Contains(req.Algorithms, a.Algorithm) || !a.Algorithm.Supported() {
		return Result{}, c.failure(Error{Class: ClassProtocol,
			What: fmt.Sprintf("the server chose %v, which was not offered", a.Algorithm), Hint: "this is a fault of the server"})
	}
	c2s, s2c, err := nts.ExportKeys(c.Export, a.Protocol, a.Algorithm, a.Algorithm.KeyLen())
	if err != nil {
		return Result{}, c.failure(Error{Class: ClassTLS, What: "take the keys", Err: err})
	}
	result := Result{
		Server: a.Server, ServerNamed: a.Server != "", Port: a.Port,
		Algorithm: a.Algorithm, C2S: c2s, S2C: s2c, Cookies: a.Cookies,
		Remote: c.remote, CertificateNotAfter: c.NotAfter(), Provisional: c.provisional, Validity: c.validity,
	}
	if !result.ServerNamed {
		result.Server = c.target.Host
	}
	if result.Port == 0 {
		result.Port = nts.DefaultNTPPort
	}
	return result, nil
}

func (c *Conn) noOverlap(a nts.NoOverlap) *Error {
	e := Error{Class: ClassNoOverlap, What: "the server does not serve NTPv4 with NTS"}
	if len(a.Protocol) > 0 {
		e.What = "the server supports none of the algorithms that were offered"
	}
	return c.failure(e)
}
