package ke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Class is why a key exchange failed, as far as a program may want to tell.
type Class uint8

// The classes.
const (
	ClassNetwork              Class = iota // none of the others: reset, unreachable
	ClassDNS                               // the name did not resolve
	ClassRefused                           // nobody listens
	ClassTimeout                           // no answer in time
	ClassCancelled                         // the caller gave up
	ClassTLS                               // the handshake failed for another reason
	ClassCertificate                       // the certificate is not valid for another reason
	ClassCertificateExpired                // or not valid yet
	ClassCertificateAuthority              // nobody we know vouches for it
	ClassCertificateName                   // it is for other names
	ClassCertificateSelf                   // it is self-signed
	ClassALPN                              // the server does not speak ntske/1
	ClassProtocol                          // the answer breaks the protocol
	ClassServerError                       // the server answered with an Error record
	ClassNoOverlap                         // no protocol or algorithm in common
)

// String is the class's name for logs and metrics.
func (c Class) String() string {
	names := [...]string{
		"network", "dns", "refused", "timeout", "cancelled", "tls", "certificate",
		"certificate-expired", "certificate-authority", "certificate-name",
		"certificate-self-signed", "alpn", "protocol", "server-error", "no-overlap",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return "invalid"
}

// Error is a key exchange that failed.
type Error struct {
	Class Class
	Code  nts.ErrorCode // for ClassServerError
	Host  string        // as the caller named it
	Port  uint16
	What  string // what failed, in a few words
	Hint  string // what to do about it, or empty
	Err   error  // the cause, or nil
}

// Error is one line: where, what, why and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "key exchange with %s: %s", hostPort(e.Host, e.Port), e.What)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", oneLine(e.Err.Error()))
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, fmt.Sprint(port))
}

// longestCause is how much of a cause is shown, in runes.
const longestCause = 256

// oneLine keeps what a peer may have put into an error from making lines of
// its own, or very long ones.
func oneLine(s string) string {
	runes := []rune(s)
	if len(runes) > longestCause {
		runes = append(runes[:longestCause:longestCause], []rune("...")...)
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return string(runes)
}

// errSelfSigned is a certificate that vouches for itself.
var errSelfSigned = errors.New("self-signed certificate")

// networkError classifies what can go wrong on any connection.
func networkError(what string, err error) *Error {
	e := &Error{Class: ClassNetwork, What: what, Err: err}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		e.Class = ClassCancelled
	case errors.As(err, &dns):
		e.Class = ClassDNS
		switch {
		case dns.IsNotFound:
			e.Hint = "check the spelling of the name"
		case dns.IsTimeout:
			e.Hint = "no name server answered; check the network and the resolver"
		default:
			e.Hint = "check the network and the name servers in /etc/resolv.conf"
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Class = ClassRefused
		e.Hint = "check the port, and that a key-exchange server runs there"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		e.Hint = "check the network connection of this machine"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		e.Class = ClassTimeout
		e.Hint = "a firewall may drop TCP to this port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Err = errors.New("the server closed the connection")
	}
	return e
}

// TLS alerts of RFC 8446 section 6 and RFC 7301 that have a class of their own.
const (
	alertProtocolVersion       = tls.AlertError(70)
	alertNoApplicationProtocol = tls.AlertError(120)
)

// handshakeError classifies a handshake that failed. host is the name that the
// certificate had to carry.
func handshakeError(host string, err error) *Error {
	const what = "TLS handshake"
	var header tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errSelfSigned):
		return selfSigned()
	case errors.As(err, &verify):
		return certificateError(host, verify)
	case isAlert(err, alertNoApplicationProtocol):
		return &Error{Class: ClassALPN, What: what, Err: err,
			Hint: "the server does not speak " + nts.ALPN + "; is this the port of its key exchange?"}
	case isAlert(err, alertProtocolVersion):
		return &Error{Class: ClassTLS, What: what, Err: err, Hint: "the server must support TLS 1.3"}
	case errors.As(err, &header):
		return &Error{Class: ClassTLS, What: what, Err: errors.New("the server does not speak TLS"),
			Hint: "is this the port of its key exchange?"}
	}
	e := networkError(what, err)
	if e.Class == ClassNetwork && (strings.HasPrefix(err.Error(), "tls: ") || isRemote(err)) {
		e.Class = ClassTLS
	}
	return e
}

// isRemote reports whether the peer ended the handshake with an alert.
func isRemote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// isAlert reports whether the peer ended the handshake with this alert. The
// standard library keeps the type of such an error to itself, but not its text.
func isAlert(err error, alert tls.AlertError) bool {
	var op *net.OpError
	return isRemote(err) && errors.As(err, &op) && op.Err.Error() == alert.Error()
}

// certificateError classifies a certificate that did not verify. It says in
// its own words what the standard library says at length.
func certificateError(host string, err *tls.CertificateVerificationError) *Error {
	const what = "the server's certificate"
	var leaf *x509.Certificate
	if len(err.UnverifiedCertificates) > 0 {
		leaf = err.UnverifiedCertificates[0]
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err.Err, &name) && leaf != nil:
		return &Error{Class: ClassCertificateName, What: what,
			Err:  fmt.Errorf("it is for %s, not for %q", namesOf(leaf), host),
			Hint: fmt.Sprintf("it needs %s among its subject alternative names, or use a name that it has", sanOf(host))}
	case errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return &Error{Class: ClassCertificateExpired, What: what,
			Err:  fmt.Errorf("it is valid from %s to %s", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter)),
			Hint: "renew it, or check this machine's clock"}
	case errors.As(err.Err, &authority) && leaf != nil && isSelfSigned(leaf):
		return selfSigned()
	case errors.As(err.Err, &authority):
		return &Error{Class: ClassCertificateAuthority, What: what,
			Err:  errors.New("it is signed by an unknown authority"),
			Hint: "name the authority's certificate file in certificate-authority"}
	default:
		return &Error{Class: ClassCertificate, What: what, Err: err.Err}
	}
}

func selfSigned() *Error {
	return &Error{Class: ClassCertificateSelf, What: "the server's certificate", Err: errSelfSigned,
		Hint: "make an authority, sign the server's certificate with it, and name the authority in certificate-authority"}
}
