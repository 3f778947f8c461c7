package proto

import (
	"fmt"
	"iter"
)

// Packet is a parsed NTP datagram. Its slices alias the datagram.
type Packet struct {
	Header
	// Fields are the octets of the extension fields, whole and checked: each
	// splits off with NextField.
	Fields []byte
	// MAC is the legacy message authentication code with its key identifier,
	// or a crypto-NAK of four octets; empty when there is none.
	MAC []byte
	// authenticated is the offset of the authenticator field, or 0.
	authenticated int
}

// ParsePacket splits a datagram into header, extension fields and MAC.
//
// In version 4 what follows the header is extension fields and then possibly
// a MAC. The two are told apart by length (RFC 7822 section 3): once 24 octets
// or fewer are left they are a MAC, which has 4, 20 or 24 octets; more than
// that begins with an extension field. A field that authenticates the packet
// (RFC 8915 section 5.6) takes the place of a MAC, so behind it none follows
// and short fields are fields. Version 3 and older have no extension fields;
// everything behind the header is the MAC.
func ParsePacket(b []byte) (Packet, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Packet{}, err
	}
	p := Packet{Header: h}
	rest, offset := b[HeaderLen:], HeaderLen
	if h.Version < 4 {
		return p, p.setMAC(rest)
	}
	for len(rest) > maxMACLen || (p.authenticated != 0 && len(rest) > 0) {
		f, tail, err := NextField(rest, offset, MinFieldLen)
		if err != nil {
			return Packet{}, err
		}
		if f.Type == FieldAuthenticator && p.authenticated == 0 {
			p.authenticated = offset
		}
		offset += len(rest) - len(tail)
		rest = tail
	}
	p.Fields = b[HeaderLen:offset:offset]
	return p, p.setMAC(rest)
}

func (p *Packet) setMAC(b []byte) error {
	switch len(b) {
	case 0, 4, 20, 24:
		p.MAC = b
		return nil
	default:
		return fmt.Errorf("%w: %d octets", ErrMAC, len(b))
	}
}

// All iterates over the extension fields of the packet; Field.Offset counts
// from the start of the datagram.
func (p *Packet) All() iter.Seq[Field] { return Fields(p.Fields, HeaderLen, MinFieldLen) }

// Fields iterates over concatenated extension fields that begin at offset.
// It ends at the first malformed one; ParsePacket and CheckInner have
// checked that there is none.
func Fields(b []byte, offset, minLen int) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(b) > 0 {
			f, rest, err := NextField(b, offset, minLen)
			if err != nil || !yield(f) {
				return
			}
			offset += len(b) - len(rest)
			b = rest
		}
	}
}

// CheckInner reports whether b, the plaintext of an encrypted field, is a
// sequence of extension fields (RFC 8915 section 5.6: they need not obey the
// minimum lengths of RFC 7822).
func CheckInner(b []byte) error {
	for offset := 0; len(b) > 0; {
		_, rest, err := NextField(b, offset, fieldHeaderLen)
		if err != nil {
			return err
		}
		offset += len(b) - len(rest)
		b = rest
	}
	return nil
}

// Inner iterates over the fields of a decrypted plaintext.
func Inner(b []byte) iter.Seq[Field] { return Fields(b, 0, fieldHeaderLen) }
