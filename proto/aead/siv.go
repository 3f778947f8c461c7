package aead

import (
	"crypto/aes"
	"crypto/subtle"
	"fmt"
	"slices"
)

// Key is a key of AES-SIV with CMAC (RFC 5297), prepared for use: key schedules
// and subkeys are made once. It does not change and may be used by several
// goroutines at once; it implements AEAD, and each call takes a little memory
// to work in, which a Local does not.
type Key struct {
	algorithm Algorithm
	mac       cmac
	ctr       aesKey
	zero      block // CMAC of a block of zeros, with which S2V begins
	// empty is where S2V stands behind empty additional data, if ready.
	empty block
	ready bool
}

// work is what a call works in. It lives on the heap, because what is given to
// a cipher.Block must.
type work struct {
	d             block // S2V
	x, y, z       block // chains
	last, lastToo block
	tail          [2 * aes.BlockSize]byte
	keystream     stream
}

// NewKey prepares a key, of which it keeps no reference and which must have
// exactly Algorithm.KeyLen octets. Errors are ErrAlgorithm and ErrKey.
func NewKey(a Algorithm, key []byte) (*Key, error) {
	var k Key
	var w work
	if err := k.set(a, key, &w); err != nil {
		return nil, err
	}
	w.d = k.zero
	k.component(&w, nil)
	k.empty, k.ready = w.d, true
	return &k, nil
}

// Clear overwrites the key, but for what package crypto/aes keeps of it where
// this package has no instructions of its own. Nobody may be using the key, and
// it is of no use any more.
func (k *Key) Clear() { *k = Key{} }

// set prepares a key in place. The first half is for S2V, the second for CTR
// (RFC 5297 section 2.6).
func (k *Key) set(a Algorithm, key []byte, w *work) error {
	if !a.Supported() {
		return fmt.Errorf("%w: %v", ErrAlgorithm, a)
	}
	if len(key) != a.KeyLen() {
		return fmt.Errorf("%w: %v needs %d octets, not %d", ErrKey, a, a.KeyLen(), len(key))
	}
	k.algorithm = a
	k.mac.set(key[:len(key)/2], w)
	k.ctr.set(key[len(key)/2:])
	w.d = block{}
	k.mac.sum(w, w.d[:])
	k.zero = w.x
	return nil
}

// component adds a component to D (RFC 5297 section 2.4).
func (k *Key) component(w *work, m []byte) {
	k.mac.sum(w, m)
	w.d.double()
	xor(&w.d, &w.x)
}

// s2v leaves the synthetic initialisation vector in w.y. S2V sees the additional
// data, then the nonce, then the plaintext: "the final component -- i.e., the
// string immediately preceding the plaintext in the vector input to S2V -- is
// used for the nonce" (RFC 5297 section 3). The additional data is a component
// even when it is empty, which S2V tells from one that is absent.
//
// The CMACs of the components, and that of the plaintext up to where D enters
// it, do not depend on each other: two at a time take as long as one.
func (k *Key) s2v(w *work, nonce, plaintext, additional []byte) {
	key, head, tail := &k.mac.key, []byte(nil), plaintext
	if n := len(plaintext) - aes.BlockSize; n > 0 {
		n &^= aes.BlockSize - 1
		head, tail = plaintext[:n], plaintext[n:]
	}
	w.x, w.y, w.z = block{}, block{}, block{}
	nonce = key.chainHead(&w.z, nonce)
	k.mac.pad(&w.lastToo, nonce)
	if len(additional) == 0 && k.ready {
		w.d = k.empty
		key.chains(&w.z, w.lastToo[:], &w.y, head)
	} else {
		whole := wholeHead(additional)
		key.chains(&w.x, additional[:whole], &w.y, head)
		k.mac.pad(&w.last, additional[whole:])
		key.chains(&w.x, w.last[:], &w.z, w.lastToo[:])
		w.d = k.zero
		w.d.double()
		xor(&w.d, &w.x)
	}
	w.d.double()
	xor(&w.d, &w.z)
	k.end(w, tail)
}

// end ends S2V with the plaintext, the whole blocks of which are in w.y already
// except those that D is added to: its last 16 octets, which lie in the last
// block and the one before ("xorend").
func (k *Key) end(w *work, tail []byte) {
	if len(tail) < aes.BlockSize {
		w.d.double()
		w.last = block{}
		copy(w.last[:], tail)
		w.last[len(tail)] = 0x80
		xor(&w.d, &w.last)
		k.mac.finish(w, &w.y, w.d[:])
		return
	}
	tail = w.tail[:copy(w.tail[:], tail)]
	xor((*block)(tail[len(tail)-aes.BlockSize:]), &w.d)
	k.mac.finish(w, &w.y, k.mac.key.chainHead(&w.y, tail))
	clear(w.tail[:])
}

// crypt encrypts or decrypts src to dst, which are the same or do not overlap.
// The counter is v without two bits: "Q = V bitand (1^64 || 0^1 || 1^31 || 0^1
// || 1^31)" (RFC 5297 section 2.6).
func (k *Key) crypt(w *work, dst, src []byte, v *block) {
	if len(src) == 0 {
		return
	}
	w.last = *v
	w.last[8] &= 0x7f
	w.last[12] &= 0x7f
	for len(src) > 0 {
		k.ctr.keystream(&w.keystream, &w.last, len(src))
		n := subtle.XORBytes(dst, src, w.keystream[:])
		dst, src = dst[n:], src[n:]
	}
	clear(w.keystream[:])
}

func (k *Key) seal(w *work, dst, nonce, plaintext, additional []byte) ([]byte, error) {
	if len(nonce) == 0 {
		return nil, ErrNonce
	}
	k.s2v(w, nonce, plaintext, additional)
	n := len(dst)
	out := slices.Grow(dst, sivTagLen+len(plaintext))[:n+sivTagLen+len(plaintext)]
	k.crypt(w, out[n+sivTagLen:], plaintext, &w.y)
	copy(out[n:], w.y[:])
	return out, nil
}

func (k *Key) open(w *work, dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	if len(nonce) == 0 {
		return nil, ErrNonce
	}
	if len(ciphertext) < sivTagLen {
		return nil, ErrOpen
	}
	v, text := (*block)(ciphertext), ciphertext[sivTagLen:]
	n := len(dst)
	out := slices.Grow(dst, len(text))[:n+len(text)]
	k.crypt(w, out[n:], text, v)
	k.s2v(w, nonce, out[n:], additional)
	if subtle.ConstantTimeCompare(w.y[:], v[:]) != 1 {
		clear(out[n:])
		return nil, ErrOpen
	}
	return out, nil
}

// Seal implements AEAD.
func (k *Key) Seal(dst, nonce, plaintext, additional []byte) ([]byte, error) {
	return k.seal(new(work), dst, nonce, plaintext, additional)
}

// Open implements AEAD.
func (k *Key) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	return k.open(new(work), dst, nonce, ciphertext, additional)
}

// NonceLen implements AEAD.
func (k *Key) NonceLen() int { return sivNonceLen }

// Overhead implements AEAD.
func (k *Key) Overhead() int { return sivTagLen }

// Format keeps the key out of everything that is printed.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v(<secret>)", k.algorithm) }
