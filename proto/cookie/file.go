package cookie

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrFile is returned for octets that are no key file. Whoever reads it must
// leave the file alone: it is something else that lies there by mistake.
var ErrFile = errors.New("cookie: not a file of cookie keys")

// fileHeaderLen is the length of a key file before its keys in octets.
const fileHeaderLen = 8 + 4 + 4 + 4

// maxSaved is the end of the year 9999 in Unix seconds. A file that claims a
// later one was not written by a clock.
const maxSaved = 253402300799

// Marshal encodes the set as ntpd-rs stores it, all numbers in network byte
// order. now is Unix seconds; a negative one is stored as 0.
//
//	|                  Unix seconds when written (8)                |
//	|                     Identifier offset (4)                     |
//	|               Index of the key that seals (4)                 |
//	|                     Number of keys (4)                        |
//	.                    Keys, 64 octets each                       .
//
// The result holds every secret of the server.
func (k *Keyset) Marshal(now int64) []byte {
	b := make([]byte, 0, fileHeaderLen+keyLen*len(k.keys))
	b = binary.BigEndian.AppendUint64(b, uint64(min(max(now, 0), maxSaved)))
	b = binary.BigEndian.AppendUint32(b, k.offset)
	b = binary.BigEndian.AppendUint32(b, k.primary)
	b = binary.BigEndian.AppendUint32(b, uint32(len(k.keys)))
	for i := range k.keys {
		b = append(b, k.keys[i].raw[:]...)
	}
	return b
}

// Parse decodes a whole key file and returns the set and when it was written,
// in Unix seconds. It accepts what Marshal and ntpd-rs write and nothing
// else: ErrFile means wrong length, no or too many keys, no key that seals, a
// time beyond the year 9999, or a key of zeros, which a damaged file holds and
// anyone could guess.
func Parse(file []byte) (k *Keyset, saved int64, err error) {
	if len(file) < fileHeaderLen {
		return nil, 0, fmt.Errorf("%w: %d octets", ErrFile, len(file))
	}
	be := binary.BigEndian
	time, offset, primary, n := be.Uint64(file), be.Uint32(file[8:]), be.Uint32(file[12:]), be.Uint32(file[16:])
	raw := file[fileHeaderLen:]
	switch {
	case n == 0:
		return nil, 0, fmt.Errorf("%w: it holds none", ErrFile)
	case n > MaxKeys: // hardly a count: octets of something else
		return nil, 0, fmt.Errorf("%w: it does not begin like one", ErrFile)
	case len(raw) != keyLen*int(n):
		return nil, 0, fmt.Errorf("%w: %d octets for %d keys", ErrFile, len(file), n)
	case primary >= n:
		return nil, 0, fmt.Errorf("%w: key %d of %d seals", ErrFile, primary, n)
	case time > maxSaved:
		return nil, 0, fmt.Errorf("%w: written at %d", ErrFile, time)
	}
	k = &Keyset{keys: make([]key, n), offset: offset, primary: primary}
	for i := range k.keys {
		r := [keyLen]byte(raw[i*keyLen:])
		if r == [keyLen]byte{} {
			return nil, 0, fmt.Errorf("%w: key %d is zero", ErrFile, i)
		}
		if k.keys[i], err = newKey(r); err != nil {
			return nil, 0, err
		}
	}
	return k, int64(time), nil
}
