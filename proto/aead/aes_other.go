//go:build !amd64 || purego

package aead

import "crypto/cipher"

const accelerated = false

// aesKey is AES under one key.
type aesKey struct{ block cipher.Block }

// set prepares a key of 16 or 32 octets.
func (k *aesKey) set(key []byte) { k.block = newBlock(key) }

// chain encrypts whole blocks in CBC mode and leaves the last one in x, which
// also is what the first is chained to.
func (k *aesKey) chain(x *block, m []byte) { chainBlocks(k.block, x, m) }

// chains is chain for two chains.
func (k *aesKey) chains(x *block, m []byte, y *block, n []byte) {
	k.chain(x, m)
	k.chain(y, n)
}

// keystream encrypts the counter and the numbers that follow it, at least n
// octets of them if they fit.
func (k *aesKey) keystream(out *stream, counter *block, n int) {
	streamBlocks(k.block, out.atLeast(n), counter)
}
