package netio

import (
	"net/netip"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Kind says what happened on an exchange's socket.
type Kind uint8

// Kinds of result.
const (
	Transmitted Kind = iota + 1 // the request left; Stamp says when
	Received                    // a datagram came; From, Payload, Stamp
	Bounced                     // the network says that the request did not arrive; Err
	Unsent                      // a proxy does not relay it, or no longer; Err
)

// Result is one thing that happened on an exchange. Its Stamp is on
// CLOCK_REALTIME. The receiver owns the payload, of which at most MaxPayload
// octets are kept.
type Result struct {
	Exchange engine.ExchangeID
	Kind     Kind
	Stamp    proto.Stamp
	From     netip.AddrPort
	Payload  []byte
	Err      error
}

// Convert moves a CLOCK_REALTIME timestamp onto the steered timescale and
// returns the error that this adds: the method of clock.Clock.
type Convert func(real proto.Timestamp) (proto.Timestamp, proto.Duration, error)

// Event is the result as the engine takes it, its stamp moved by convert.
// Where that fails there is no event; the engine waits in vain, as for a lost
// packet.
//
// What bounced is always of ClassRefused, which ends no exchange: the ICMP
// message that said so was not authenticated, and whoever guesses the port can
// forge one of any kind. The reply may still come.
func (r Result) Event(convert Convert) (engine.Event, error) {
	if r.Kind == Bounced {
		hearsay := Failure(r.Err)
		hearsay.Class = engine.ClassRefused
		return engine.SendFailed{Exchange: r.Exchange, Failure: hearsay}, nil
	}
	if r.Kind == Unsent {
		return engine.SendFailed{Exchange: r.Exchange, Failure: Failure(r.Err)}, nil
	}
	at, e, err := convert(r.Stamp.At)
	if err != nil {
		return nil, err
	}
	stamp := proto.Stamp{At: at, Source: r.Stamp.Source, Err: r.Stamp.Err + e}
	if r.Kind == Transmitted {
		return engine.Sent{Exchange: r.Exchange, Stamp: stamp}, nil
	}
	return engine.Received{Exchange: r.Exchange, From: r.From, Payload: r.Payload, Stamp: stamp}, nil
}
