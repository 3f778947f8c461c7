package aead

import "fmt"

// Local is an AEAD for one goroutine at a time. It brings the memory that it
// works in, so that sealing and opening into buffers with room enough allocates
// nothing; setting a key allocates nothing either on processors for which this
// package has its own AES (amd64 with AES-NI).
//
// The zero Local has no key: Set or Use comes first. It must not be copied.
type Local struct {
	work work
	own  Key
	key  *Key
}

// Set prepares a key of the Local's own, as NewKey does. After an error it has
// the key that it had before.
func (l *Local) Set(a Algorithm, key []byte) error {
	if err := l.own.set(a, key, &l.work); err != nil {
		return err
	}
	l.key = &l.own
	return nil
}

// Use takes a key that is prepared and may be shared.
func (l *Local) Use(k *Key) { l.key = k }

// Seal implements AEAD.
func (l *Local) Seal(dst, nonce, plaintext, additional []byte) ([]byte, error) {
	return l.key.seal(&l.work, dst, nonce, plaintext, additional)
}

// Open implements AEAD.
func (l *Local) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	return l.key.open(&l.work, dst, nonce, ciphertext, additional)
}

// NonceLen implements AEAD.
func (l *Local) NonceLen() int { return sivNonceLen }

// Overhead implements AEAD.
func (l *Local) Overhead() int { return sivTagLen }

// Format keeps the key out of everything that is printed.
func (l *Local) Format(f fmt.State, _ rune) {
	if l.key == nil {
		fmt.Fprint(f, "no key")
		return
	}
	l.key.Format(f, 'v')
}
