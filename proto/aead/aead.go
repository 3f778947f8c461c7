package aead

import (
	"errors"
	"fmt"

	"github.com/miscreant/miscreant.go"
)

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
	if !a.Supported() {
		return nil, fmt.Errorf("%w: %v", ErrAlgorithm, a)
	}
	if len(key) != a.KeyLen() {
		return nil, fmt.Errorf("%w: %v needs %d octets, not %d", ErrKey, a, a.KeyLen(), len(key))
	}
	s := &siv{algorithm: a, keyLen: len(key)}
	copy(s.key[:], key)
	return s, nil
}

// siv is AES-SIV with CMAC. A miscreant.Cipher works in buffers of its own, so
// each call makes one.
type siv struct {
	algorithm Algorithm
	keyLen    int
	key       [64]byte
}

// Seal implements AEAD. S2V sees the additional data, then the nonce, then
// the plaintext: "the final component -- i.e., the string immediately
// preceding the plaintext in the vector input to S2V -- is used for the
// nonce" (RFC 5297 section 3). The additional data is a component even when
// it is empty, which S2V tells from one that is absent.
func (s *siv) Seal(dst, nonce, plaintext, additional []byte) ([]byte, error) {
	c, err := s.cipher(nonce)
	if err != nil {
		return nil, err
	}
	return c.Seal(dst, plaintext, additional, nonce)
}

// Open implements AEAD.
func (s *siv) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	c, err := s.cipher(nonce)
	if err != nil {
		return nil, err
	}
	out, err := c.Open(dst, ciphertext, additional, nonce)
	if err != nil {
		// miscreant decrypts into dst before it compares the tags.
		spare := dst[len(dst):cap(dst)]
		if n := len(ciphertext) - sivTagLen; 0 < n && n <= len(spare) {
			clear(spare[:n])
		}
		return nil, ErrOpen
	}
	return out, nil
}

func (s *siv) cipher(nonce []byte) (*miscreant.Cipher, error) {
	if len(nonce) == 0 {
		return nil, ErrNonce
	}
	return miscreant.NewAESCMACSIV(s.key[:s.keyLen])
}

// NonceLen implements AEAD.
func (s *siv) NonceLen() int { return sivNonceLen }

// Overhead implements AEAD.
func (s *siv) Overhead() int { return sivTagLen }

// Format keeps the key out of everything that is printed.
func (s *siv) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v(<secret>)", s.algorithm) }
