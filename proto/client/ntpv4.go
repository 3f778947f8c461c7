package client

import (
	"fmt"
	"io"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// ntpv4 is NTP version 4 with the NTS extension fields of RFC 8915. A server
// that only knows version 3 may answer a plain request in version 3: the two
// share the header.
var ntpv4 = wire{appendRequest: appendV4, parseReply: parseV4}

// appendV4 encodes a request. Only version, mode and the random transmit
// field differ from zero, so that requests tell nothing about the client.
//
// With keys it adds, in the order of RFC 8915 section 5.7, "Exactly one Unique
// Identifier extension field that MUST be authenticated, MUST NOT be
// encrypted", "Exactly one NTS Cookie extension field that MUST be
// authenticated and MUST NOT be encrypted", the placeholders, and "Exactly one
// NTS Authenticator and Encrypted Extension Fields extension field".
func appendV4(dst []byte, q query, entropy io.Reader) ([]byte, error) {
	h := proto.Header{Version: 4, Mode: proto.ModeClient, Transmit: proto.Timestamp(q.nonce)}
	start := len(dst)
	b := h.Append(dst)
	if q.keys == nil {
		return b, nil
	}
	b, err := proto.AppendField(b, proto.FieldUniqueIdentifier, q.uniqueID, proto.MinFieldLen)
	if err != nil {
		return dst, err
	}
	if b, err = proto.AppendField(b, proto.FieldCookie, q.cookie, proto.MinFieldLen); err != nil {
		return dst, err
	}
	// "The body length of the NTS Cookie Placeholder extension field MUST be
	// the same as the body length of the NTS Cookie extension field" and its
	// contents "SHOULD be all zeros" (RFC 8915 section 5.5).
	zeros := make([]byte, len(q.cookie))
	for range q.placeholders {
		if b, err = proto.AppendField(b, proto.FieldCookiePlaceholder, zeros, proto.MinFieldLen); err != nil {
			return dst, err
		}
	}
	nonce := make([]byte, q.keys.C2S.NonceLen())
	if _, err := io.ReadFull(entropy, nonce); err != nil {
		return dst, fmt.Errorf("client: no randomness for a nonce: %w", err)
	}
	sealed, err := aead.AppendField(b[start:], q.keys.C2S, nonce, nil)
	if err != nil {
		return dst, err
	}
	return append(b[:start], sealed...), nil
}

// parseV4 decodes a reply. secure says that the request was protected, which
// version 3 cannot answer.
func parseV4(datagram []byte, secure bool) (reply, Verdict) {
	p, err := proto.ParsePacket(datagram)
	switch {
	case err != nil:
		return reply{}, Malformed
	case p.Version != 4 && (secure || p.Version != 3):
		return reply{}, WrongVersion
	case p.Mode != proto.ModeServer:
		return reply{}, WrongMode
	case len(p.MAC) != 0:
		// We share no symmetric key with anyone. A digest or a crypto-NAK
		// in a reply to a request without one is someone else's.
		return reply{}, BadAuthenticator
	}
	r := reply{
		nonce: uint64(p.Origin),
		server: Server{
			Leap: p.Leap, Stratum: p.Stratum, RefID: p.RefID,
			RootDelay: p.RootDelay.Duration(), RootDispersion: p.RootDispersion.Duration(),
		},
		precision: p.Precision,
		received:  p.Receive,
		sent:      p.Transmit,
	}
	r.code, r.kiss = p.Kiss()
	for f := range p.All() {
		if f.Type == proto.FieldUniqueIdentifier {
			r.uniqueIDs++
			r.uniqueID = f.Value
		}
		if f.Type == proto.FieldAuthenticator {
			// "The client MUST discard any unauthenticated extension
			// fields" (RFC 8915 section 5.7): all that follow.
			r.sealed, r.auth = true, f
			break
		}
	}
	return r, Accepted
}
