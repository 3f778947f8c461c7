package aead

import "errors"

// Errors of this package. They carry no detail of what failed inside a
// ciphertext.
var (
	ErrAlgorithm = errors.New("aead: algorithm is not implemented")
	ErrKey       = errors.New("aead: key has the wrong length")
	ErrNonce     = errors.New("aead: nonce is empty")
	ErrOpen      = errors.New("aead: message is not authentic")
)

// AEAD is authenticated encryption with associated data under one key
// (RFC 5116). It is safe for use by several goroutines, and printing it does
// not show the key.
//
// The results are appended to dst, which may be nil and whose spare capacity
// must not overlap the other arguments. On an error the result is nil and
// what lay in dst's spare capacity is zero or as before: never unauthenticated
// plaintext.
type AEAD interface {
	// Seal appends the encryption of plaintext, which authenticates the
	// additional data too. Any nonce of one octet or more will do; new ones
	// have NonceLen octets. A nil and an empty slice mean the same.
	Seal(dst, nonce, plaintext, additional []byte) ([]byte, error)
	// Open appends the plaintext, or fails with ErrOpen when anything was
	// changed since Seal, and with ErrNonce.
	Open(dst, nonce, ciphertext, additional []byte) ([]byte, error)
	// NonceLen is the length in octets of the nonces to make.
	NonceLen() int
	// Overhead is how many octets a ciphertext is longer than its plaintext.
	Overhead() int
}

// Lengths of AES-SIV in octets (RFC 5297 sections 2.6 and 3). "If the nonce
// is random, it SHOULD be at least 128 bits in length"; N_MIN is 1 octet and
// N_MAX is unlimited (section 6).
const (
	sivNonceLen = 16
	sivTagLen   = 16
)

// New makes the AEAD of an algorithm. It copies key, which must have exactly
// Algorithm.KeyLen octets. Errors are ErrAlgorithm and ErrKey.
func New(a Algorithm, key []byte) (AEAD, error) {
	k, err := NewKey(a, key)
	if err != nil {
		return nil, err
	}
	return k, nil
}
