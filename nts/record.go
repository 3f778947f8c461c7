package nts

import (
	"encoding/binary"
	"errors"
	"fmt"
)

//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|C|         Record Type         |          Body Length          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                          Record Body                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

// Record is one record of a message (RFC 8915 section 4, figure 2).
type Record struct {
	Type     uint16 // 15 bits
	Critical bool   // an implementation that does not know Type must fail
	Body     []byte // at most MaxBody octets; a decoded body aliases its message
}

// Sizes in octets.
const (
	HeaderLen = 4      // of a record
	MaxBody   = 0xffff // the length field has 16 bits

	// MaxRequest bounds a request that a server reads: "servers MUST accept
	// requests of at least 1024 octets" (RFC 8915 section 4), and a pool's
	// client may name many servers that it does not want.
	MaxRequest = 16384

	// MaxResponse bounds a response that a client reads: "clients SHOULD
	// accept responses of at least 65536 octets" (RFC 8915 section 4).
	MaxResponse = 65536
)

const (
	criticalBit = 0x8000
	maxType     = 0x7fff
)

// Errors of decoding. Every decoding error wraps one of the two.
var (
	// ErrMalformed is a message that breaks the rules of the protocol; a
	// server answers it with BadRequest.
	ErrMalformed = errors.New("malformed NTS-KE message")

	// ErrUnrecognizedCritical is a critical record that this implementation
	// does not know, or that this peer is not entitled to.
	ErrUnrecognizedCritical = errors.New("unrecognized critical record")
)

// ErrEncode is a value that has no encoding, such as a name of 70,000 octets.
var ErrEncode = errors.New("value does not fit an NTS-KE message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// AppendRecord appends the encoding of r to dst. It fails with ErrEncode if
// the type has more than 15 bits or the body is longer than MaxBody.
func AppendRecord(dst []byte, r Record) ([]byte, error) {
	if r.Type > maxType {
		return dst, fmt.Errorf("%w: record type 0x%x", ErrEncode, r.Type)
	}
	if len(r.Body) > MaxBody {
		return dst, fmt.Errorf("%w: body of %d octets in a record of type %d", ErrEncode, len(r.Body), r.Type)
	}
	head := r.Type
	if r.Critical {
		head |= criticalBit
	}
	dst = binary.BigEndian.AppendUint16(dst, head)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Body)))
	return append(dst, r.Body...), nil
}

// ReadRecord takes the first record off b and returns the rest. The body
// aliases b.
func ReadRecord(b []byte) (Record, []byte, error) {
	if len(b) < HeaderLen {
		return Record{}, nil, malformed("%d octets where a record header of %d belongs", len(b), HeaderLen)
	}
	r, n := ParseHeader([HeaderLen]byte(b))
	b = b[HeaderLen:]
	if n > len(b) {
		return Record{}, nil, malformed("record of type %d announces %d octets, %d are left", r.Type, n, len(b))
	}
	r.Body = b[:n:n]
	return r, b[n:], nil
}

// ParseHeader decodes a record header: the record without its body, and the
// length of that body.
func ParseHeader(h [HeaderLen]byte) (r Record, bodyLen int) {
	head := binary.BigEndian.Uint16(h[0:])
	r = Record{Type: head &^ criticalBit, Critical: head&criticalBit != 0}
	return r, int(binary.BigEndian.Uint16(h[2:]))
}

// SplitMessage decodes a whole message into the records before its End of
// Message. The bodies alias msg.
//
// RFC 8915 section 4.1.1: End of Message has "a zero-length body. It MUST
// occur exactly once as the final record of every NTS-KE request and
// response. The Critical Bit MUST be set."
func SplitMessage(msg []byte) ([]Record, error) {
	var records []Record
	for {
		if len(msg) == 0 {
			return nil, malformed("no End of Message record")
		}
		r, rest, err := ReadRecord(msg)
		if err != nil {
			return nil, err
		}
		if r.Type != TypeEndOfMessage {
			records = append(records, r)
			msg = rest
			continue
		}
		switch {
		case !r.Critical:
			return nil, malformed("End of Message without its critical bit")
		case len(r.Body) != 0:
			return nil, malformed("End of Message with a body of %d octets", len(r.Body))
		case len(rest) != 0:
			return nil, malformed("%d octets after End of Message", len(rest))
		}
		return records, nil
	}
}

// AppendMessage appends the records and the End of Message that closes them.
func AppendMessage(dst []byte, records ...Record) ([]byte, error) {
	var err error
	for _, r := range records {
		if dst, err = AppendRecord(dst, r); err != nil {
			return dst, err
		}
	}
	return AppendRecord(dst, Record{Type: TypeEndOfMessage, Critical: true})
}
