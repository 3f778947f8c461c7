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
	if whole := (len(m) - 1) &^ (aes.BlockSize - 1); whole > 0 {
		c.key.chain(&w.x, m[:whole])
		m = m[whole:]
	}
	c.finish(w, m)
}

// finish adds the last of a message, 0 to 16 octets, to w.x, which is the CMAC
// then.
func (c *cmac) finish(w *work, m []byte) {
	if len(m) == aes.BlockSize {
		w.last = c.k1
		xor(&w.last, (*block)(m))
	} else {
		w.last = block{}
		copy(w.last[:], m)
		w.last[len(m)] = 0x80
		xor(&w.last, &c.k2)
	}
	c.key.chain(&w.x, w.last[:])
}
