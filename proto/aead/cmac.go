package aead

import "crypto/aes"

// cmac is AES-CMAC under one key (RFC 4493).
type cmac struct {
	key aesKey
	// K1 is added to a last block that is whole, K2 to one that is padded
	// (section 2.3).
	k1, k2 block
}

func (c *cmac) set(key []byte, w *work) {
	c.key.set(key)
	w.x, w.last = block{}, block{}
	c.key.chain(&w.x, w.last[:])
	w.x.double()
	c.k1 = w.x
	w.x.double()
	c.k2 = w.x
}

// sum leaves the CMAC of m in w.x.
func (c *cmac) sum(w *work, m []byte) {
	w.x = block{}
	c.finish(w, &w.x, c.key.chainHead(&w.x, m))
}

// finish adds the last of a message, 0 to 16 octets, to x, which is the CMAC
// then.
func (c *cmac) finish(w *work, x *block, m []byte) {
	c.pad(&w.last, m)
	c.key.chain(x, w.last[:])
}

// pad makes the last block of a message out of what is left of it, 0 to 16
// octets.
func (c *cmac) pad(last *block, m []byte) {
	if len(m) == aes.BlockSize {
		*last = block(m)
		xor(last, &c.k1)
		return
	}
	*last = block{}
	copy(last[:], m)
	last[len(m)] = 0x80
	xor(last, &c.k2)
}

// wholeHead is how many octets of m are blocks in front of its last one, which
// may be whole too.
func wholeHead(m []byte) int { return max(len(m)-1, 0) &^ (aes.BlockSize - 1) }

// chainHead chains the blocks in front of the last one of m to x and returns
// what is left.
func (k *aesKey) chainHead(x *block, m []byte) []byte {
	n := wholeHead(m)
	if n > 0 {
		k.chain(x, m[:n])
	}
	return m[n:]
}
