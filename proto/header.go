package proto

import (
	"encoding/binary"
	"errors"
)

// HeaderLen is the length of the NTP packet header in octets.
const HeaderLen = 48

// Mode is the association mode of RFC 5905 figure 10.
type Mode uint8

// Association modes.
const (
	ModeSymmetricActive  Mode = 1
	ModeSymmetricPassive Mode = 2
	ModeClient           Mode = 3
	ModeServer           Mode = 4
	ModeBroadcast        Mode = 5
	ModeControl          Mode = 6
	ModePrivate          Mode = 7
)

// MaxStratum is the stratum of an unsynchronised server (RFC 5905 section 7.2).
const MaxStratum = 16

// ErrShort is returned for a datagram that cannot hold an NTP header.
var ErrShort = errors.New("proto: datagram shorter than an NTP header")

// Header is the NTP packet header that versions 3 and 4 share.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|LI | VN  |Mode |    Stratum    |     Poll      |  Precision    |
//	|                         Root Delay                            |
//	|                       Root Dispersion                         |
//	|                          Reference ID                         |
//	+                     Reference Timestamp (64)                  +
//	+                      Origin Timestamp (64)                    +
//	+                      Receive Timestamp (64)                   +
//	+                      Transmit Timestamp (64)                  +
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// RFC 5905 section 7.3.
type Header struct {
	Leap           Leap
	Version        uint8 // 0–7 on the wire
	Mode           Mode
	Stratum        uint8
	Poll           int8 // log2 seconds
	Precision      int8 // log2 seconds
	RootDelay      Short
	RootDispersion Short
	RefID          RefID
	Reference      Timestamp
	Origin         Timestamp
	Receive        Timestamp
	Transmit       Timestamp
}

// ParseHeader decodes the first HeaderLen octets of b. Every bit pattern is a
// header; judging it is the reader's task. The error is ErrShort.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, ErrShort
	}
	be := binary.BigEndian
	return Header{
		Leap:           Leap(b[0] >> 6),
		Version:        b[0] >> 3 & 7,
		Mode:           Mode(b[0] & 7),
		Stratum:        b[1],
		Poll:           int8(b[2]),
		Precision:      int8(b[3]),
		RootDelay:      Short(be.Uint32(b[4:])),
		RootDispersion: Short(be.Uint32(b[8:])),
		RefID:          RefID(be.Uint32(b[12:])),
		Reference:      Timestamp(be.Uint64(b[16:])),
		Origin:         Timestamp(be.Uint64(b[24:])),
		Receive:        Timestamp(be.Uint64(b[32:])),
		Transmit:       Timestamp(be.Uint64(b[40:])),
	}, nil
}

// Append encodes the header onto b. Leap, Version and Mode are cut to their
// two, three and three bits.
func (h *Header) Append(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, byte(h.Leap&3)<<6|h.Version&7<<3|byte(h.Mode&7), h.Stratum, byte(h.Poll), byte(h.Precision))
	b = be.AppendUint32(b, uint32(h.RootDelay))
	b = be.AppendUint32(b, uint32(h.RootDispersion))
	b = be.AppendUint32(b, uint32(h.RefID))
	b = be.AppendUint64(b, uint64(h.Reference))
	b = be.AppendUint64(b, uint64(h.Origin))
	b = be.AppendUint64(b, uint64(h.Receive))
	return be.AppendUint64(b, uint64(h.Transmit))
}

// Kiss returns the kiss code of a stratum-0 packet (RFC 5905 section 7.4).
func (h *Header) Kiss() (RefID, bool) { return h.RefID, h.Stratum == 0 }
