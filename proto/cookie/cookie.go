package cookie

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// NonceLen is the length in octets of the nonce inside a cookie.
const NonceLen = 16

// Lengths of the parts of a cookie in octets.
const (
	headerLen = 4 + 2 // key identifier, ciphertext length
	prefixLen = headerLen + NonceLen
	tagLen    = 16
	keyLen    = 64 // AES-SIV-CMAC-512
	// contentsLen is the length of the longest plaintext.
	contentsLen = 2 + 2*keyLen
)

// Errors of cookies.
var (
	// ErrOpen is returned for everything that is not a cookie of this key
	// set: forged, damaged, or sealed under a key that has been forgotten.
	ErrOpen = errors.New("cookie: cookie does not open")
	// ErrContents is returned for keys that do not fit their algorithm.
	ErrContents = errors.New("cookie: keys do not fit the algorithm")
	// ErrNonce is returned for a nonce that is not NonceLen octets long.
	ErrNonce = errors.New("cookie: nonce has the wrong length")
)

// Contents is what a server needs to know of an association: the negotiated
// algorithm and the two keys (RFC 8915 section 5.1). Both keys have
// Algorithm.KeyLen octets.
type Contents struct {
	Algorithm aead.Algorithm
	S2C, C2S  []byte
}

// Format keeps the keys out of everything that is printed.
func (c Contents) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v(<secret>)", c.Algorithm) }

// Len is the length in octets of a cookie for an association of the algorithm:
// 104 for AES-SIV-CMAC-256 and 168 for AES-SIV-CMAC-512. It is 0 for an
// algorithm that is not implemented.
func Len(a aead.Algorithm) int {
	if !a.Supported() {
		return 0
	}
	return prefixLen + tagLen + 2 + 2*a.KeyLen()
}

// append encodes the plaintext of a cookie:
//
//	|      AEAD Algorithm (2)       |
//	.        S2C Key (K_LEN)        .
//	.        C2S Key (K_LEN)        .
func (c Contents) append(b []byte) ([]byte, error) {
	if n := c.Algorithm.KeyLen(); n == 0 || len(c.S2C) != n || len(c.C2S) != n {
		return b, fmt.Errorf("%w: %v with keys of %d and %d octets", ErrContents, c.Algorithm, len(c.S2C), len(c.C2S))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(c.Algorithm))
	b = append(b, c.S2C...)
	return append(b, c.C2S...), nil
}

// parseContents decodes the plaintext of a cookie; the keys alias it.
func parseContents(b []byte) (Contents, error) {
	if len(b) < 2 {
		return Contents{}, ErrOpen
	}
	a := aead.Algorithm(binary.BigEndian.Uint16(b))
	n, keys := a.KeyLen(), b[2:]
	if n == 0 || len(keys) != 2*n {
		return Contents{}, ErrOpen
	}
	return Contents{Algorithm: a, S2C: keys[:n:n], C2S: keys[n:]}, nil
}
