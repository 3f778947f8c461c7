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
	// MinFieldLen: "The minimum size of an extension field" without a MAC
	// behind it is 16 octets (RFC 7822 section 7.5.1.2 of the amended text).
	MinFieldLen = 16
	// MinLastFieldLen: the last extension field of a packet without a MAC
	// must be at least 28 octets, so that it cannot be mistaken for a MAC
	// (RFC 7822 section 7.5.1.4 of the amended text).
	MinLastFieldLen = 28
	// maxMACLen is the longest legacy MAC: a key identifier and a SHA-1
	// digest (RFC 5905 section 7.3). 4 is a crypto-NAK, 20 an MD5 or CMAC.
	maxMACLen = 24
)

// Errors of the extension field codec.
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
// Length counts the whole field with its header and is a multiple of four
// (RFC 7822 section 3).
type Field struct {
	Type   FieldType
	Value  []byte
	Offset int // of the field's header, from the start of the parsed bytes
}

// NextField splits the first extension field off b, which begins at offset in
// its packet. minLen is the smallest legal length of a field here:
// MinFieldLen in a packet, fieldHeaderLen within an encrypted field.
func NextField(b []byte, offset, minLen int) (f Field, rest []byte, err error) {
	if len(b) < fieldHeaderLen {
		return Field{}, nil, fmt.Errorf("%w: %d octets left at offset %d", ErrField, len(b), offset)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < minLen || n%4 != 0 || n > len(b) {
		return Field{}, nil, fmt.Errorf("%w: length %d with %d octets left at offset %d", ErrField, n, len(b), offset)
	}
	return Field{Type: FieldType(binary.BigEndian.Uint16(b)), Value: b[fieldHeaderLen:n], Offset: offset}, b[n:], nil
}

// AppendField encodes a field whose value is padded with zeros to a multiple
// of four and to at least minLen octets in all. It fails when the field would
// not fit its 16-bit length.
func AppendField(b []byte, t FieldType, value []byte, minLen int) ([]byte, error) {
	n := max(fieldHeaderLen+(len(value)+3)&^3, minLen)
	if n > 0xffff&^3 {
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
