package cookie

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// ErrKey is returned for octets that are no marshalled Sealer.
var ErrKey = errors.New("cookie: not a sealing key")

// MaxKeys is the greatest number of keys in a Keyset: the newest and up to
// MaxKeys−1 stale ones. At one rotation a day it is eleven years of keys.
const MaxKeys = 4096

// Keyset is the server's cookie keys: one that seals, and every one that
// still opens. It does not change after it was made.
//
// A key's identifier on the wire is its index plus offset, modulo 2^32.
// Dropping old keys moves offset, so an identifier never comes to mean
// another key until it wraps.
type Keyset struct {
	keys    []key // oldest first, at least one
	offset  uint32
	primary uint32 // index of the key that seals
}

// key is one cookie key, as it was drawn and prepared for use.
type key struct {
	raw  [keyLen]byte
	aead *aead.Key
}

func newKey(raw [keyLen]byte) (key, error) {
	a, err := aead.NewKey(aead.AESSIVCMAC512, raw[:])
	return key{raw: raw, aead: a}, err
}

// randomKey draws a key. An error is that of entropy.
func randomKey(entropy io.Reader) (key, error) {
	var raw [keyLen]byte
	if _, err := io.ReadFull(entropy, raw[:]); err != nil {
		return key{}, fmt.Errorf("cookie: drawing a key: %w", err)
	}
	return newKey(raw)
}

// NewKeyset makes a set of one key, drawn from a cryptographically secure
// source.
func NewKeyset(entropy io.Reader) (*Keyset, error) {
	k, err := randomKey(entropy)
	if err != nil {
		return nil, err
	}
	return &Keyset{keys: []key{k}}, nil
}

// Rotate returns the set that follows k: the last stale keys of k, which still
// open, and a new one, which seals. stale is cut to [0, MaxKeys−1]. k stays as
// it is; on an error of entropy go on using it.
func (k *Keyset) Rotate(entropy io.Reader, stale int) (*Keyset, error) {
	fresh, err := randomKey(entropy)
	if err != nil {
		return nil, err
	}
	stale = min(max(stale, 0), MaxKeys-1)
	dropped := max(len(k.keys)-stale, 0)
	keys := append(slices.Clone(k.keys[dropped:]), fresh)
	return &Keyset{
		keys:    keys,
		offset:  k.offset + uint32(dropped),
		primary: uint32(len(keys) - 1),
	}, nil
}

// Len is the number of keys, the one that seals included.
func (k *Keyset) Len() int { return len(k.keys) }

// Sealer seals cookies under one key and opens none. It is all that a
// key-exchange server needs to know of a Keyset.
type Sealer struct {
	id   uint32
	aead *aead.Key
}

// Newest returns the sealing half of the set.
func (k *Keyset) Newest() Sealer {
	return Sealer{id: k.primary + k.offset, aead: k.keys[k.primary].aead}
}

// sealerLen is the length of a marshalled Sealer in octets.
const sealerLen = 4 + keyLen

// MarshalNewest encodes Newest for ParseSealer, and nothing else of the set:
//
//	|                       Key Identifier (4)                      |
//	.                            Key (64)                           .
func (k *Keyset) MarshalNewest() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, sealerLen), k.primary+k.offset)
	return append(b, k.keys[k.primary].raw[:]...)
}

// ParseSealer decodes what MarshalNewest encoded, into memory of its own. The
// error is ErrKey.
func ParseSealer(b []byte) (Sealer, error) {
	if len(b) != sealerLen || [keyLen]byte(b[4:]) == [keyLen]byte{} {
		return Sealer{}, fmt.Errorf("%w: %d octets", ErrKey, len(b))
	}
	key, err := aead.NewKey(aead.AESSIVCMAC512, b[4:])
	if err != nil {
		return Sealer{}, err
	}
	return Sealer{id: binary.BigEndian.Uint32(b), aead: key}, nil
}

// Clear overwrites the key, as far as it is in memory of this package. Nobody
// may be sealing with it or seal with it again. The zero Sealer has none.
func (s Sealer) Clear() {
	if s.aead != nil {
		s.aead.Clear()
	}
}

// Seal appends a cookie to dst. nonce has NonceLen octets, fresh from a
// cryptographically secure source for every cookie: it is also what makes two
// cookies of one association differ. Errors are ErrNonce and ErrContents.
func (k *Keyset) Seal(dst []byte, c Contents, nonce []byte) ([]byte, error) {
	return k.Newest().Seal(dst, c, nonce)
}

// Seal appends a cookie to dst, as Keyset.Seal does:
//
//	|                       Key Identifier (4)                      |
//	|     Ciphertext Length (2)     |
//	.                           Nonce (16)                          .
//	.               Ciphertext, AES-SIV-CMAC-512                    .
//
// The associated data is empty, the nonce is a component of its own.
func (s Sealer) Seal(dst []byte, c Contents, nonce []byte) ([]byte, error) {
	return s.seal(s.aead, make([]byte, 0, contentsLen), dst, c, nonce)
}

// Open returns what was sealed into a cookie, in memory of its own. Octets
// behind the ciphertext are ignored: a cookie comes out of an extension field
// with its padding. Every failure is ErrOpen.
func (k *Keyset) Open(cookie []byte) (Contents, error) {
	key, nonce, ciphertext, err := k.split(cookie)
	if err != nil {
		return Contents{}, err
	}
	return open(key, make([]byte, 0, contentsLen), nonce, ciphertext)
}

// Format keeps the keys out of everything that is printed.
func (k *Keyset) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d cookie keys(<secret>)", len(k.keys)) }

// Format keeps the key out of everything that is printed.
func (s Sealer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "cookie key %d(<secret>)", s.id) }
