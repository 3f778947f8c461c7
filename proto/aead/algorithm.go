// Package aead holds the authenticated encryption that Network Time Security
// uses: one interface over the algorithms of the IANA AEAD registry that
// RFC 8915 section 5.1 allows, and the sealing and opening of the "NTS
// Authenticator and Encrypted Extension Fields" extension field with it.
//
// Nothing in this package keeps state between calls, so every value may be
// used from several goroutines at once.
package aead

import "fmt"

// Algorithm is a number of the IANA AEAD registry.
type Algorithm uint16

// The algorithms that this suite implements. AES-SIV-CMAC-256 is mandatory
// (RFC 8915 section 5.1).
const (
	AESSIVCMAC256 Algorithm = 15 // two 16-octet halves, RFC 5297
	AESSIVCMAC512 Algorithm = 17 // two 32-octet halves, RFC 5297
)

// KeyLen is the length of a key in octets, and 0 for an algorithm that is
// not implemented.
func (a Algorithm) KeyLen() int {
	switch a {
	case AESSIVCMAC256:
		return 32
	case AESSIVCMAC512:
		return 64
	default:
		return 0
	}
}

// Supported reports whether New accepts the algorithm.
func (a Algorithm) Supported() bool { return a.KeyLen() != 0 }

// String is the registry's name, or the number when it is not implemented.
func (a Algorithm) String() string {
	switch a {
	case AESSIVCMAC256:
		return "AES-SIV-CMAC-256"
	case AESSIVCMAC512:
		return "AES-SIV-CMAC-512"
	default:
		return fmt.Sprintf("AEAD %d", uint16(a))
	}
}
