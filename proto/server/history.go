package server

import "github.com/ntpd-go/ntpd-go/proto"

// History remembers when responses really left, so that a server can tell it
// to the same client in its next response (NTP interleaved modes, RFC 9769).
// It is the place where that mode attaches to a responder; there is none yet,
// and every response is in basic mode.
type History interface {
	// Sent remembers that the response to the request received at rx left at
	// tx. The receive timestamp is the key: it is what the client sends back.
	Sent(rx, tx proto.Timestamp)
	// Lookup returns and forgets when the response left.
	Lookup(rx proto.Timestamp) (tx proto.Timestamp, ok bool)
}
