package apart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// version is that of the frames. Both sides are the same program, unless
// somebody plays a trick.
const version = 1

// kind is what a frame is about.
type kind uint8

// The frames of the daemon, in the order of a start, and of the process.
const (
	frameSettings    kind = iota + 1 // of one section; before begin only
	frameCertificate                 // of one section; at any time
	frameCookieKey                   // the one that seals, from now on
	frameBegin                       // all is there: serve
	frameMark                        // the process says it back when it has done all before

	frameConfined // what the process has given up
	frameMarked   // a mark, said back
	frameEvent    // an outcome that is worth a line
)

// Bounds of a body in octets. The daemon believes the process nothing.
const (
	maxFromHost  = 16 << 20
	maxFromChild = 1 << 10
)

var (
	errFrame = errors.New("malformed frame")
	errBound = errors.New("frame is too long")
)

// frameHeader is the length of a frame before its body:
//
//	| Version (1) | Type (1) |        Length of the body (4)        |
const frameHeader = 6

// appendFrame appends a frame to dst.
func appendFrame(dst []byte, k kind, body []byte) []byte {
	dst = append(dst, version, byte(k))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// readFrame reads one frame whose body has at most limit octets. It returns
// io.EOF only between frames.
func readFrame(r io.Reader, limit int) (kind, []byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0] != version {
		return 0, nil, fmt.Errorf("%w: version %d instead of %d", errFrame, head[0], version)
	}
	n := binary.BigEndian.Uint32(head[2:])
	if uint64(n) > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: %d octets", errBound, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return kind(head[1]), body, nil
}

// appendBytes appends octets behind their number.
func appendBytes(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

// body takes a body apart. After the first thing that is missing everything
// else is missing too.
type body struct {
	rest []byte
	bad  bool
}

// take returns the next n octets, which alias the frame.
func (b *body) take(n int) []byte {
	if b.bad || n < 0 || n > len(b.rest) {
		b.bad = true
		return make([]byte, min(max(n, 0), 64)) // so that numbers and addresses are zero
	}
	head := b.rest[:n]
	b.rest = b.rest[n:]
	return head
}

func (b *body) uint8() uint8   { return b.take(1)[0] }
func (b *body) uint16() uint16 { return binary.BigEndian.Uint16(b.take(2)) }
func (b *body) uint32() uint32 { return binary.BigEndian.Uint32(b.take(4)) }
func (b *body) uint64() uint64 { return binary.BigEndian.Uint64(b.take(8)) }

// bytes are octets behind their number.
func (b *body) bytes() []byte {
	n := b.uint32()
	if b.bad || uint64(n) > uint64(len(b.rest)) {
		b.bad = true
		return nil
	}
	return b.take(int(n))
}

// end is an error unless everything was there and nothing else.
func (b *body) end() error {
	if b.bad || len(b.rest) > 0 {
		return errFrame
	}
	return nil
}
