package proto

import (
	"encoding/binary"
	"fmt"
)

// Lengths of Network Time Security fields in octets.
const (
	// MinUniqueIDLen: "The string MUST be at least 32 octets long" (RFC 8915
	// section 5.3).
	MinUniqueIDLen = 32
	// UniqueIDLen is what this suite sends.
	UniqueIDLen = 32
	// authenticatorNonceRoom is N_REQ of RFC 8915 section 5.6, "the lesser of
	// 16 and N_MAX, rounded up to the nearest multiple of 4"; N_MAX of AES-SIV
	// is unlimited (RFC 5297 section 6).
	authenticatorNonceRoom = 16
)

// AppendAuthenticator encodes the "NTS Authenticator and Encrypted Extension
// Fields" field around a nonce and a ciphertext that are already known.
//
//	|          Nonce Length         |      Ciphertext Length        |
//	.                Nonce, padded to a multiple of four            .
//	.              Ciphertext, padded to a multiple of four         .
//	.                       Additional Padding                      .
//
// RFC 8915 section 5.6. extra is the additional padding in octets, a multiple
// of four. On an error b is returned as it was.
func AppendAuthenticator(b, nonce, ciphertext []byte, extra int) ([]byte, error) {
	b, at, err := BeginAuthenticator(b, len(nonce), len(ciphertext), extra)
	if err != nil {
		return b, err
	}
	copy(b[at:], nonce)
	copy(b[at+pad4(len(nonce)):], ciphertext)
	return b, nil
}

// BeginAuthenticator appends the field with room for a nonce of nonceLen and
// a ciphertext of textLen octets and returns where the nonce goes; the
// ciphertext goes NoncePadding(nonceLen) behind it. All of that room is zero.
//
// The field is never shorter than MinLastFieldLen: "implementers are advised
// to explicitly handle this case and ensure that the extension field they emit
// is of legal length" (RFC 8915 section 5.6).
func BeginAuthenticator(b []byte, nonceLen, textLen, extra int) (_ []byte, nonceAt int, err error) {
	n := max(fieldHeaderLen+4+pad4(nonceLen)+pad4(textLen)+extra, MinLastFieldLen)
	if max(n, nonceLen, textLen, extra) > maxFieldLen || extra < 0 || extra%4 != 0 { // n may have overflowed
		return b, 0, fmt.Errorf("%w: authenticator around %d, %d and %d octets", ErrField, nonceLen, textLen, extra)
	}
	b = appendFieldHeader(b, FieldAuthenticator, n)
	b = binary.BigEndian.AppendUint16(b, uint16(nonceLen))
	b = binary.BigEndian.AppendUint16(b, uint16(textLen))
	nonceAt = len(b)
	return appendZeros(b, n-fieldHeaderLen-4), nonceAt, nil
}

// ParseAuthenticator splits the value of an authenticator field. The results
// alias it; padding is the length of the additional padding, which a server
// compares with AuthenticatorPadding. What the padding contains is ignored.
// The error is ErrField.
func ParseAuthenticator(value []byte) (nonce, ciphertext []byte, padding int, err error) {
	if len(value) < 4 {
		return nil, nil, 0, ErrField
	}
	n := int(binary.BigEndian.Uint16(value))
	c := int(binary.BigEndian.Uint16(value[2:]))
	body := value[4:]
	if pad4(n)+pad4(c) > len(body) {
		return nil, nil, 0, ErrField
	}
	return body[:n:n], body[pad4(n) : pad4(n)+c : pad4(n)+c], len(body) - pad4(n) - pad4(c), nil
}

// AuthenticatorPadding is how many octets of additional padding the
// authenticator of a request needs at least behind a nonce of n octets: "If
// N_LEN is greater than or equal to N_REQ, then no Additional Padding field is
// required. Otherwise, the Additional Padding field SHALL be at least N_REQ -
// N_LEN octets in length" (RFC 8915 section 5.6). Packets of mode 4 need none.
func AuthenticatorPadding(n int) int { return max(0, authenticatorNonceRoom-pad4(n)) }

// pad4 rounds up to a multiple of four.
func pad4(n int) int { return (n + 3) &^ 3 }

// NoncePadding is where the ciphertext begins behind a nonce of n octets: "The
// end of the field is zero-padded to a word (four octets) boundary" (RFC 8915
// section 5.6).
func NoncePadding(n int) int { return pad4(n) }
