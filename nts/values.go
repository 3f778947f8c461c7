package nts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// ALPN is the application protocol of the key exchange (RFC 8915 section 7.1).
const ALPN = "ntske/1"

// DefaultPort is the TCP port of the key exchange (RFC 8915 section 7.1).
const DefaultPort = 4460

// DefaultNTPPort is the UDP port that a client uses when the answer has no
// port record (RFC 8915 section 4.1.8).
const DefaultNTPPort = 123

// Protocol is a number of the IANA "Network Time Security Next Protocols"
// registry.
type Protocol uint16

// NTPv4 is the only registered protocol.
const NTPv4 Protocol = 0

// String is "NTPv4" or the number.
func (p Protocol) String() string {
	if p == NTPv4 {
		return "NTPv4"
	}
	return fmt.Sprintf("protocol 0x%04x", uint16(p))
}

// ErrorCode is the body of an Error record (RFC 8915 section 4.1.3).
type ErrorCode uint16

// The error codes of RFC 8915.
const (
	UnrecognizedCriticalRecord ErrorCode = 0
	BadRequest                 ErrorCode = 1
	InternalServerError        ErrorCode = 2
)

// String is the name that RFC 8915 gives the code, or the number.
func (c ErrorCode) String() string {
	switch c {
	case UnrecognizedCriticalRecord:
		return "unrecognized critical record"
	case BadRequest:
		return "bad request"
	case InternalServerError:
		return "internal server error"
	default:
		return fmt.Sprintf("error 0x%04x", uint16(c))
	}
}

// CodeOf is the code by which a server answers a request that did not decode.
func CodeOf(err error) ErrorCode {
	if errors.Is(err, ErrUnrecognizedCritical) {
		return UnrecognizedCriticalRecord
	}
	return BadRequest
}

// Secret holds key material or a token. It does not print itself.
type Secret []byte

const hidden = "<secret>"

// Format prints a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// MarshalText gives the placeholder, so that JSON shows nothing either.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Clear overwrites the secret with zeros.
func (s Secret) Clear() { clear(s) }

// SupportedAlgorithm is one entry of a Supported Algorithm List: the number of
// an AEAD algorithm and the length of its key in octets. The asker needs to
// know nothing else about the algorithm.
type SupportedAlgorithm struct {
	ID     aead.Algorithm
	KeyLen uint16
}

func decodeUint16s[T ~uint16](body []byte, what string) ([]T, error) {
	if len(body)%2 != 0 {
		return nil, malformed("%s of %d octets", what, len(body))
	}
	list := make([]T, 0, len(body)/2)
	for ; len(body) > 0; body = body[2:] {
		list = append(list, T(binary.BigEndian.Uint16(body)))
	}
	return list, nil
}

func encodeUint16s[T ~uint16](list ...T) []byte {
	body := make([]byte, 0, 2*len(list))
	for _, v := range list {
		body = binary.BigEndian.AppendUint16(body, uint16(v))
	}
	return body
}

func decodeSupported(body []byte) ([]SupportedAlgorithm, error) {
	if len(body)%4 != 0 {
		return nil, malformed("Supported Algorithm List of %d octets", len(body))
	}
	list := make([]SupportedAlgorithm, 0, len(body)/4)
	for ; len(body) > 0; body = body[4:] {
		list = append(list, SupportedAlgorithm{
			ID:     aead.Algorithm(binary.BigEndian.Uint16(body)),
			KeyLen: binary.BigEndian.Uint16(body[2:]),
		})
	}
	return list, nil
}

func encodeSupported(list []SupportedAlgorithm) []byte {
	body := make([]byte, 0, 4*len(list))
	for _, a := range list {
		body = binary.BigEndian.AppendUint16(body, uint16(a.ID))
		body = binary.BigEndian.AppendUint16(body, a.KeyLen)
	}
	return body
}

// MaxName is the longest server name in octets.
const MaxName = 255

// ValidServer reports whether name may stand in a Server record.
//
// RFC 8915 section 4.1.7: "The contents of the string SHALL be either an IPv4
// address, an IPv6 address, or a fully qualified domain name (FQDN). IPv4
// addresses MUST be in dotted decimal notation. IPv6 addresses MUST conform to
// [...] RFC 4291 and MUST NOT include zone identifiers."
//
// Addresses that nobody can be asked at (unspecified, multicast) are refused
// as well.
func ValidServer(name string) bool {
	if len(name) == 0 || len(name) > MaxName {
		return false
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast()
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// A name whose last label is a number is a mistyped IPv4 address.
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != ""
}

func validLabel(label string) bool {
	if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Rooted is the name to resolve for a Server record: an address as it is, a
// domain name with the dot that keeps search lists away from it. RFC 8915
// section 4.1.7: "If the record contains a domain name, the recipient MUST
// treat it as a FQDN, e.g., by making sure it ends with a dot."
func Rooted(server string) string {
	if _, err := netip.ParseAddr(server); err == nil || strings.HasSuffix(server, ".") {
		return server
	}
	return server + "."
}

// SameServer reports whether two server names name the same server: without
// regard to case and to one trailing dot, and addresses by value.
func SameServer(a, b string) bool { return CanonicalServer(a) == CanonicalServer(b) }

// CanonicalServer is the one spelling of a server name that SameServer
// compares.
func CanonicalServer(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
