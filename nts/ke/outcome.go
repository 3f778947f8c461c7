package ke

import (
	"net/netip"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Kind is how a connection, or one exchange on it, came out. Every value is
// meant to be counted.
type Kind uint8

// The kinds. Those that answer a request are the answers of package nts; the
// others are what happens around them.
const (
	KeyExchange          Kind = iota // gave cookies for the client's own keys
	FixedKey                         // gave cookies for the keys of a pool's client
	Information                      // said what is supported
	Names                            // said the names of the NTP servers
	NoProtocol                       // no protocol in common
	NoAlgorithm                      // no algorithm in common
	UnrecognizedCritical             // answered Error 0
	BadRequest                       // answered Error 1: the request was malformed or cut off
	InternalError                    // answered Error 2
	RequestTimeout                   // answered Error 1: no complete request in time
	HandshakeFailed                  // no TLS connection came about
	NoALPN                           // the client did not offer ntske/1
	WriteFailed                      // the client left before its answer
	AcceptFailed                     // the listener had an error; it is tried again
	KeepAliveRefused                 // a pool wanted to stay, all such places are taken
	KeepAliveEnded                   // a kept connection ended: closed or idle too long
	Shed                             // turned away: too many are open, or at their handshake
	Panicked                         // a fault of ours ended it; the detail says where
)

// String is the kind's name for logs and metrics.
func (k Kind) String() string {
	names := [...]string{
		"key-exchange", "fixed-key", "information", "names", "no-protocol", "no-algorithm",
		"unrecognized-critical-record", "bad-request", "internal-error", "request-timeout",
		"handshake-failed", "no-alpn", "write-failed", "accept-failed",
		"keep-alive-refused", "keep-alive-ended", "shed", "panicked",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "invalid"
}

// Kinds is the number of kinds, for an array of counters.
const Kinds = int(Panicked) + 1

// Outcome reports what happened on one connection. It is a plain value.
type Outcome struct {
	Kind   Kind
	Remote netip.AddrPort // the peer; the zero value for AcceptFailed
	Detail string         // a cause for the operator, or empty; holds no secret
}

// kindOf is the kind for an answer.
func kindOf(a nts.Answer) Kind {
	switch a {
	case nts.AnsweredKeyExchange:
		return KeyExchange
	case nts.AnsweredFixedKey:
		return FixedKey
	case nts.AnsweredInformation:
		return Information
	case nts.AnsweredNames:
		return Names
	case nts.AnsweredNoProtocol:
		return NoProtocol
	case nts.AnsweredNoAlgorithm:
		return NoAlgorithm
	case nts.AnsweredUnrecognized:
		return UnrecognizedCritical
	case nts.AnsweredBadRequest:
		return BadRequest
	default:
		return InternalError
	}
}
