package proto

import "iter"

// Packet is a parsed NTP datagram. Its slices alias the datagram.
type Packet struct {
	Header
	// Fields are the octets of the extension fields, whole and checked: each
	// splits off with NextField.
	Fields []byte
	// MAC is the legacy message authentication code with its key identifier,
	// or a crypto-NAK of four octets; empty when there is none.
	MAC []byte
}

// ParsePacket splits a datagram into header, extension fields and MAC. Errors
// are ErrShort, ErrField and ErrMAC.
//
// In version 4 what follows the header is extension fields and then possibly a
// MAC, and nothing but lengths tells the two apart. While more than 24 octets
// are left they begin with an extension field of 16 octets or more; once 24 or
// fewer are left they are a MAC of 24, 20 or 4 octets (RFC 7822 section 1). It
// follows that a packet without a MAC whose last field is shorter than 28
// octets, which RFC 7822 forbids, is read as one with a MAC or not at all.
//
// The authenticator field of RFC 8915 section 5.6 takes the place of a MAC:
// behind it there is none, and whatever is left is extension fields, short ones
// too. They are "neither encrypted nor authenticated" (section 5.2), so that
// the lengths are checked but nobody may act on the fields.
//
// Version 3 and older have no extension fields: all that follows the header is
// a MAC, of 12 octets too (RFC 1305 appendix C). Later versions are read as
// version 4; whether to speak them is for the caller to judge, as is how many
// fields of a type there may be.
func ParsePacket(b []byte) (Packet, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Packet{}, err
	}
	rest, offset := b[HeaderLen:], HeaderLen
	for sealed := false; h.Version >= 4 && (len(rest) > sha1MACLen || sealed && len(rest) > 0); {
		f, tail, err := NextField(rest, offset, MinFieldLen)
		if err != nil {
			return Packet{}, err
		}
		sealed = sealed || f.Type == FieldAuthenticator
		offset += len(rest) - len(tail)
		rest = tail
	}
	if !validMAC(len(rest), h.Version) {
		return Packet{}, ErrMAC
	}
	return Packet{Header: h, Fields: b[HeaderLen:offset:offset], MAC: rest}, nil
}

// validMAC reports whether n octets can be all that is left of a packet.
func validMAC(n int, version uint8) bool {
	switch n {
	case 0, cryptoNAKLen, md5MACLen, sha1MACLen:
		return true
	case desMACLen:
		return version < 4
	default:
		return false
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
		rest, at := b, offset // the sequence may be walked again
		for len(rest) > 0 {
			f, tail, err := NextField(rest, at, minLen)
			if err != nil || !yield(f) {
				return
			}
			at += len(rest) - len(tail)
			rest = tail
		}
	}
}

// CheckInner reports whether b, the plaintext of an encrypted field, is a
// sequence of extension fields, which may be shorter than others
// (MinInnerFieldLen). The error is ErrField.
func CheckInner(b []byte) error {
	for len(b) > 0 {
		_, rest, err := NextField(b, 0, MinInnerFieldLen)
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// Inner iterates over the fields of a decrypted plaintext.
func Inner(b []byte) iter.Seq[Field] { return Fields(b, 0, MinInnerFieldLen) }
