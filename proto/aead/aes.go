package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// block is one block of AES.
type block [aes.BlockSize]byte

// stream is a piece of keystream: as many blocks as are encrypted side by side.
type stream [8 * aes.BlockSize]byte

// atLeast is as many of the blocks as n octets need, if there are.
func (s *stream) atLeast(n int) []byte {
	return s[:(min(n, len(s))+aes.BlockSize-1)&^(aes.BlockSize-1)]
}

// newBlock is AES by crypto/aes, for processors without an implementation of
// ours. It allocates.
func newBlock(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // a key of a length that Algorithm.KeyLen does not have
	}
	return b
}

// chainBlocks is aesKey.chain.
func chainBlocks(b cipher.Block, x *block, m []byte) {
	for ; len(m) >= aes.BlockSize; m = m[aes.BlockSize:] {
		xor(x, (*block)(m))
		b.Encrypt(x[:], x[:])
	}
}

// streamBlocks is aesKey.keystream, for whole blocks.
func streamBlocks(b cipher.Block, out []byte, counter *block) {
	low := binary.BigEndian.Uint64(counter[8:])
	for i := 0; i < len(out); i += aes.BlockSize {
		o := out[i : i+aes.BlockSize]
		copy(o, counter[:8])
		binary.BigEndian.PutUint64(o[8:], low)
		low++
		b.Encrypt(o, o)
	}
	binary.BigEndian.PutUint64(counter[8:], low)
}

// xor adds b to a.
func xor(a, b *block) {
	le := binary.LittleEndian
	le.PutUint64(a[:8], le.Uint64(a[:8])^le.Uint64(b[:8]))
	le.PutUint64(a[8:], le.Uint64(a[8:])^le.Uint64(b[8:]))
}

// double multiplies by x in GF(2^128), in constant time: "dbl" of RFC 5297
// section 2.3, and how RFC 4493 section 2.3 makes its subkeys.
func (b *block) double() {
	be := binary.BigEndian
	high, low := be.Uint64(b[:8]), be.Uint64(b[8:])
	be.PutUint64(b[:8], high<<1|low>>63)
	be.PutUint64(b[8:], low<<1^high>>63*0x87)
}
