package aead

import (
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Errors of the authenticator field.
var (
	// ErrMode is returned for a packet that must not be authenticated.
	ErrMode = errors.New("aead: packet is neither a client's nor a server's")
	// ErrPadding is returned for a request that leaves a server's nonce no room.
	ErrPadding = errors.New("aead: additional padding is too short")
)

// AppendField seals plaintext, a concatenation of extension fields or nothing,
// and appends it to packet as its "NTS Authenticator and Encrypted Extension
// Fields" extension field (RFC 8915 section 5.6):
//
//	A: The associated data SHALL consist of the portion of the NTP packet
//	beginning from the start of the NTP header and ending at the end of the
//	last extension field that precedes the NTS Authenticator and Encrypted
//	Extension Fields extension field.
//
// So packet is everything before it, header first, and must be a client's or
// a server's (mode 3 or 4); anything else is ErrMode. A request with a short
// nonce gets the additional padding that section 5.6 asks for. On an error
// packet is returned as it was.
//
// packet's spare capacity must not overlap the other arguments. The field is
// sealed in place: where there is room for it, only a may allocate.
func AppendField(packet []byte, a AEAD, nonce, plaintext []byte) ([]byte, error) {
	mode, err := protectedMode(packet)
	if err != nil {
		return packet, err
	}
	extra := 0
	if mode == proto.ModeClient {
		extra = proto.AuthenticatorPadding(len(nonce))
	}
	out, at, err := proto.BeginAuthenticator(packet, len(nonce), len(plaintext)+a.Overhead(), extra)
	if err != nil {
		return packet, err
	}
	copy(out[at:], nonce)
	text := at + proto.NoncePadding(len(nonce))
	if _, err := a.Seal(out[:text], nonce, plaintext, packet); err != nil {
		return packet, err
	}
	return out, nil
}

// OpenField authenticates packet up to the authenticator field f, which came
// from parsing packet, and appends the field's plaintext to dst. Whatever is
// behind f stays unauthenticated, and it is the caller who discards it.
//
// A request that does not carry the additional padding of RFC 8915
// section 5.6 is ErrPadding: "Servers MUST enforce this requirement by
// discarding any packet that does not conform to it."
func OpenField(dst, packet []byte, f proto.Field, a AEAD) (plaintext []byte, err error) {
	mode, err := protectedMode(packet)
	if err != nil {
		return nil, err
	}
	if f.Type != proto.FieldAuthenticator || f.Offset < proto.HeaderLen || f.Offset >= len(packet) {
		return nil, fmt.Errorf("%w: field %#04x at offset %d is no authenticator of the packet", proto.ErrField, uint16(f.Type), f.Offset)
	}
	nonce, ciphertext, padding, err := proto.ParseAuthenticator(f.Value)
	if err != nil {
		return nil, err
	}
	if mode == proto.ModeClient && padding < proto.AuthenticatorPadding(len(nonce)) {
		return nil, ErrPadding
	}
	return a.Open(dst, nonce, ciphertext, packet[:f.Offset])
}

// protectedMode returns the mode of a packet that may be authenticated: "The
// NTS Authenticator and Encrypted Extension Fields extension field MUST NOT
// be included in NTP packets whose mode is other than 3 (client) or 4
// (server)" (RFC 8915 section 5.6).
func protectedMode(packet []byte) (proto.Mode, error) {
	if len(packet) < proto.HeaderLen {
		return 0, proto.ErrShort
	}
	m := proto.Mode(packet[0] & 7)
	if m != proto.ModeClient && m != proto.ModeServer {
		return 0, ErrMode
	}
	return m, nil
}
