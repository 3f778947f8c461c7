//go:build amd64 && !purego

package aead

import (
	"crypto/aes"
	"crypto/cipher"
)

// accelerated says whether this processor has the instructions of aes_amd64.s:
// AES-NI, SSSE3 and SSE4.1, as every one since about 2010.
var accelerated = hasInstructions()

// aesKey is AES under one key. Unlike a cipher.Block it can be given another
// key, so that setting up the keys of a client takes no memory.
type aesKey struct {
	rounds   int // 10 or 14; 0 means block
	schedule [15 * aes.BlockSize]byte
	block    cipher.Block
}

// set prepares a key of 16 or 32 octets.
func (k *aesKey) set(key []byte) {
	switch {
	case !accelerated:
		k.rounds, k.block = 0, newBlock(key)
	case len(key) == 16:
		k.rounds = 10
		expand128(&k.schedule[0], &key[0])
	default:
		k.rounds = 14
		_ = key[31]
		expand256(&k.schedule[0], &key[0])
	}
}

// chain encrypts whole blocks in CBC mode and leaves the last one in x, which
// also is what the first is chained to.
func (k *aesKey) chain(x *block, m []byte) {
	if k.rounds == 0 {
		chainBlocks(k.block, x, m)
	} else if n := len(m) / aes.BlockSize; n > 0 {
		chain(k.rounds, &k.schedule[0], &x[0], &m[0], n)
	}
}

// chains is chain for two chains, which do not depend on each other: each waits
// for its last block, so that two take as long as one.
func (k *aesKey) chains(x *block, m []byte, y *block, n []byte) {
	if k.rounds > 0 {
		both := min(len(m), len(n)) / aes.BlockSize
		if both > 0 {
			chain2(k.rounds, &k.schedule[0], &x[0], &m[0], &y[0], &n[0], both)
		}
		m, n = m[both*aes.BlockSize:], n[both*aes.BlockSize:]
	}
	k.chain(x, m)
	k.chain(y, n)
}

// keystream encrypts the counter and the numbers that follow it, at least n
// octets of them if they fit. Of the counter the last 64 bits are incremented,
// which suffices where their first is zero.
func (k *aesKey) keystream(out *stream, counter *block, n int) {
	if k.rounds == 0 {
		streamBlocks(k.block, out.atLeast(n), counter)
	} else {
		// Eight blocks side by side take hardly longer than one.
		keystream(k.rounds, &k.schedule[0], &counter[0], &out[0])
	}
}

func hasInstructions() bool

//go:noescape
func expand128(schedule, key *byte)

//go:noescape
func expand256(schedule, key *byte)

//go:noescape
func chain(rounds int, schedule, x, m *byte, blocks int)

//go:noescape
func chain2(rounds int, schedule, x, m, y, n *byte, blocks int)

//go:noescape
func keystream(rounds int, schedule, counter, out *byte)
