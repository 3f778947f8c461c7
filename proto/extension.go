package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FieldType is an extension field type of the IANA registry.
type FieldType uint16

// Extension field types of Network Time Security (RFC 8915 section 7.5).
const (
	FieldUniqueIdentifier  FieldType = 0x0104
	FieldCookie            FieldType = 0x0204
	FieldCookiePlaceholder FieldType = 0x0304
	FieldAuthenticator     FieldType = 0x0404
)

// Lengths of extension fields, header included, in octets.
const (
	fieldHeaderLen = 4
	// MinFieldLen: "the minimum field length containing required fields is
	// four words (16 octets)" (RFC 7822 section 3, new section 7.5 of
	// RFC 5905).
	MinFieldLen = 16
	// MinLastFieldLen: "If the packet includes a single extension field, the
	// length of the extension field MUST be at least 7 words, i.e., at least
	// 28 octets. If the packet includes more than one extension field, the
	// length of the last extension field MUST be at least 28 octets. The
	// length of the other extension fields in this case MUST be at least 16
	// octets each." All that holds where no MAC is present (RFC 7822
	// section 3, new section 7.5.1.4 of RFC 5905).
	MinLastFieldLen = 28
	// MinInnerFieldLen: "encrypted extension fields MAY be arbitrarily short
	// (but still MUST be a multiple of 4 octets in length)" (RFC 8915
	// section 5.6).
	MinInnerFieldLen = fieldHeaderLen
	// maxFieldLen: "the maximum field length cannot be longer than 65532
	// octets" (RFC 7822 section 3, new section 7.5).
	maxFieldLen = 65532
)

// Lengths of a legacy MAC in octets, key identifier included: "This field can
// be either 24 octets long, 20 octets long, or a 4-octet crypto-NAK" (RFC 7822
// section 1). The digest is SHA-1 in the longest, MD5 or AES-CMAC in the other.
// Version 3 has another one, of a key identifier and a DES checksum of 64 bits
// (RFC 1305 appendix C).
const (
	cryptoNAKLen = 4
	desMACLen    = 12
	md5MACLen    = 20
	sha1MACLen   = 24
)

// Errors of the extension field codec. Parsing returns them bare: whoever sends
// garbage does not make us allocate.
var (
	ErrField = errors.New("proto: malformed extension field")
	ErrMAC   = errors.New("proto: trailing octets are no MAC")
)

// Field is one extension field. Value is the field's body with its padding;
// it aliases the packet.
//
//	|          Field Type           |            Length             |
//	.                            Value                              .
//	|                       Padding (as needed)                     |
//
// "All extension fields are zero-padded to a word (four octets) boundary." "The
// Length field is a 16-bit unsigned integer that indicates the length of the
// entire extension field in octets, including the Padding field" (RFC 7822
// section 3, new section 7.5 of RFC 5905).
type Field struct {
	Type   FieldType
	Value  []byte
	Offset int // of the field's header, from the start of the parsed bytes
}

// NextField splits the first extension field off b, which begins at offset in
// its packet. minLen is the smallest legal length of a field here:
// MinFieldLen in a packet, MinInnerFieldLen within an encrypted field. The
// error is ErrField.
func NextField(b []byte, offset, minLen int) (f Field, rest []byte, err error) {
	if len(b) < fieldHeaderLen {
		return Field{}, nil, ErrField
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < minLen || n%4 != 0 || n > len(b) {
		return Field{}, nil, ErrField
	}
	return Field{Type: FieldType(binary.BigEndian.Uint16(b)), Value: b[fieldHeaderLen:n:n], Offset: offset}, b[n:], nil
}

// AppendField encodes a field whose value is padded with zeros to a multiple
// of four and to at least minLen octets in all: MinFieldLen, MinLastFieldLen
// for the last field of a packet without MAC and authenticator, or
// MinInnerFieldLen. It fails when the field would not fit its 16-bit length,
// and then returns b as it was.
func AppendField(b []byte, t FieldType, value []byte, minLen int) ([]byte, error) {
	n := pad4(max(fieldHeaderLen+len(value), minLen))
	if n > maxFieldLen {
		return b, fmt.Errorf("%w: %d octets do not fit", ErrField, len(value))
	}
	b = appendFieldHeader(b, t, n)
	b = append(b, value...)
	return appendZeros(b, n-fieldHeaderLen-len(value)), nil
}

func appendFieldHeader(b []byte, t FieldType, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

func appendZeros(b []byte, n int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for ; n > len(zeros); n -= len(zeros) {
		b = append(b, zeros...)
	}
	return append(b, zeros[:n]...)
}
