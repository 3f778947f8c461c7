package server

import (
	"net/netip"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Request is a datagram that arrived, from wherever. The payload is only read,
// and only during Respond.
type Request struct {
	Payload []byte
	From    netip.AddrPort
	To      netip.Addr    // the address that was asked; zero when unknown
	Rx      proto.Stamp   // when it arrived, on the timescale that is served
	Mono    proto.Instant // when it arrived, for ages and limits
}

// misdirected reports whether no response may be sent: to a request that went
// to many ("If the destination address is not a broadcast address, the server
// constructs a server (mode 4) packet", RFC 5905 section 9.2), or that has no
// one to answer to.
func (q *Request) misdirected() bool {
	return q.From.Port() == 0 || q.To.IsMulticast() || q.To == broadcast || q.From.Addr().IsMulticast() || q.From.Addr().IsUnspecified()
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// query is a request taken apart: well-formed, from a client, in a version that
// is accepted. Slices alias the payload.
type query struct {
	proto.Header
	uniqueID     []byte      // nil when there is none
	cookie       []byte      // nil without NTS
	auth         proto.Field // meaningful with NTS
	placeholders int         // in the clear, of the cookie's length
}

// nts reports whether the request is protected by Network Time Security.
func (q *query) nts() bool { return q.cookie != nil }

// parse takes a payload apart, or says why it is dropped.
func parse(payload []byte, accept Versions) (query, Verdict) {
	if len(payload) < proto.HeaderLen {
		return query{}, Malformed
	}
	// The first octet decides on most of what is not for us; mode and version
	// are looked at before the rest. Only a client's request (mode 3) is ever
	// answered, so that an answer to an answer, and with it a loop between two
	// servers, cannot be.
	if proto.Mode(payload[0]&7) != proto.ModeClient {
		return query{}, WrongMode
	}
	if !accept.Has(payload[0] >> 3 & 7) {
		return query{}, WrongVersion
	}
	p, err := proto.ParsePacket(payload)
	if err != nil {
		return query{}, Malformed
	}
	q := query{Header: p.Header}
	if !q.fields(p.Fields) {
		return query{}, Malformed
	}
	return q, Accepted
}

// fields finds the fields of NTS and checks what RFC 8915 section 5.7 says of
// them: "exactly one Unique Identifier", "exactly one NTS Cookie", "exactly one
// NTS Authenticator and Encrypted Extension Fields", the first two
// authenticated, that is in front of the third. A unique identifier may come
// without the others (section 5.3). Other fields are ignored (RFC 7822 section
// 3), and so is every field behind the authenticator: "The server MUST discard
// any unauthenticated extension fields".
func (q *query) fields(b []byte) bool {
	var spare, authenticators int
	for f := range proto.Fields(b, proto.HeaderLen, proto.MinFieldLen) {
		if authenticators > 0 && isNTS(f.Type) {
			return false
		}
		switch f.Type {
		case proto.FieldUniqueIdentifier:
			if q.uniqueID != nil || len(f.Value) < proto.MinUniqueIDLen {
				return false
			}
			q.uniqueID = f.Value
		case proto.FieldCookie:
			if q.cookie != nil {
				return false
			}
			q.cookie = f.Value
		case proto.FieldCookiePlaceholder:
			spare++
		case proto.FieldAuthenticator:
			q.auth = f
			authenticators++
		}
	}
	if authenticators == 0 {
		// "Whenever an NTS Cookie Placeholder extension field is present, it
		// MUST be accompanied by an NTS Cookie extension field" (section 5.5).
		return q.cookie == nil && spare == 0
	}
	if q.cookie == nil || q.uniqueID == nil || !q.roomForNonce() {
		return false
	}
	if spare > 0 {
		q.placeholders = countPlaceholders(b, proto.HeaderLen, proto.MinFieldLen, len(q.cookie))
	}
	return true
}

// roomForNonce checks that the authenticator is whole and leaves the response
// enough room for a nonce: "Servers MUST enforce this requirement by discarding
// any packet that does not conform to it" (RFC 8915 section 5.6).
func (q *query) roomForNonce() bool {
	nonce, _, padding, err := proto.ParseAuthenticator(q.auth.Value)
	return err == nil && padding >= proto.AuthenticatorPadding(len(nonce))
}

// countPlaceholders counts the cookie placeholders of one length: "The body
// length of the NTS Cookie Placeholder extension field MUST be the same as the
// body length of the NTS Cookie extension field" (RFC 8915 section 5.5). Others
// are not valid and bring no cookie.
func countPlaceholders(b []byte, offset, minLen, length int) int {
	n := 0
	for f := range proto.Fields(b, offset, minLen) {
		if f.Type == proto.FieldCookiePlaceholder && len(f.Value) == length {
			n++
		}
	}
	return n
}

func isNTS(t proto.FieldType) bool {
	switch t {
	case proto.FieldUniqueIdentifier, proto.FieldCookie, proto.FieldCookiePlaceholder, proto.FieldAuthenticator:
		return true
	default:
		return false
	}
}
