package cookie

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Worker opens and seals cookies as a Keyset and a Sealer do, in memory that it
// brings, so that nothing is allocated. It belongs to one goroutine at a time;
// the zero Worker is ready for use and must not be copied.
type Worker struct {
	aead    aead.Local
	opened  [contentsLen]byte
	sealing [contentsLen]byte
}

// Open is k.Open, but the contents are valid until the next call only.
func (w *Worker) Open(k *Keyset, cookie []byte) (Contents, error) {
	key, nonce, ciphertext, err := k.split(cookie)
	if err != nil {
		return Contents{}, err
	}
	w.aead.Use(key)
	return open(&w.aead, w.opened[:0], nonce, ciphertext)
}

// Seal is s.Seal. The contents may be those that were opened last.
func (w *Worker) Seal(s Sealer, dst []byte, c Contents, nonce []byte) ([]byte, error) {
	w.aead.Use(s.aead)
	return s.seal(&w.aead, w.sealing[:0], dst, c, nonce)
}

// split finds the parts of a cookie, and the key that it was sealed under.
func (k *Keyset) split(cookie []byte) (key *aead.Key, nonce, ciphertext []byte, err error) {
	if len(cookie) < prefixLen {
		return nil, nil, nil, ErrOpen
	}
	index := binary.BigEndian.Uint32(cookie) - k.offset
	n := int(binary.BigEndian.Uint16(cookie[4:]))
	nonce, ciphertext = cookie[headerLen:prefixLen], cookie[prefixLen:]
	if uint64(index) >= uint64(len(k.keys)) || n > len(ciphertext) || n > contentsLen+tagLen {
		return nil, nil, nil, ErrOpen
	}
	return k.keys[index].aead, nonce, ciphertext[:n], nil
}

// open opens the parts of a cookie into buffer, which the contents alias.
func open(a aead.AEAD, buffer, nonce, ciphertext []byte) (Contents, error) {
	plaintext, err := a.Open(buffer, nonce, ciphertext, nil)
	if err != nil {
		return Contents{}, ErrOpen
	}
	return parseContents(plaintext)
}

// seal appends a cookie to dst. The AEAD has the key of s; the contents are
// encoded into buffer.
func (s Sealer) seal(a aead.AEAD, buffer, dst []byte, c Contents, nonce []byte) ([]byte, error) {
	if len(nonce) != NonceLen {
		return dst, fmt.Errorf("%w: %d octets instead of %d", ErrNonce, len(nonce), NonceLen)
	}
	plaintext, err := c.append(buffer)
	if err != nil {
		return dst, err
	}
	out := slices.Grow(dst, Len(c.Algorithm))
	out = binary.BigEndian.AppendUint32(out, s.id)
	out = binary.BigEndian.AppendUint16(out, uint16(len(plaintext)+tagLen))
	out = append(out, nonce...)
	if out, err = a.Seal(out, nonce, plaintext, nil); err != nil {
		return dst, err
	}
	return out, nil
}
