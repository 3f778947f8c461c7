package proto

import (
	"crypto/md5"
	"encoding/binary"
	"net/netip"
)

// RefID is the reference identifier of RFC 5905 section 7.3: at stratum 0 a
// kiss code, at stratum 1 four ASCII letters that name the reference clock,
// and above a hint at the server's own source (RFC 5905: its IPv4 address or
// the first four octets of the MD5 hash of its IPv6 address).
type RefID uint32

// Kiss codes (RFC 5905 section 7.4, RFC 8915 section 5.7).
const (
	KissDeny RefID = 'D'<<24 | 'E'<<16 | 'N'<<8 | 'Y' // access denied, stop
	KissRstr RefID = 'R'<<24 | 'S'<<16 | 'T'<<8 | 'R' // access restricted, stop
	KissRate RefID = 'R'<<24 | 'A'<<16 | 'T'<<8 | 'E' // too fast, slow down
	KissNTSN RefID = 'N'<<24 | 'T'<<16 | 'S'<<8 | 'N' // NTS negative acknowledgement
)

// RefIDText makes a reference identifier of at most four ASCII characters,
// left-justified and zero-padded (RFC 5905 section 7.3). Longer text is cut.
func RefIDText(s string) RefID {
	var b [4]byte
	copy(b[:], s)
	return RefID(binary.BigEndian.Uint32(b[:]))
}

// RefIDAddr makes the reference identifier of a server's address.
func RefIDAddr(a netip.Addr) RefID {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return RefID(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	sum := md5.Sum(b[:])
	return RefID(binary.BigEndian.Uint32(sum[:4]))
}

// Text returns the identifier as ASCII when all its octets are printable or
// trailing zeros or spaces, and reports whether it is.
func (r RefID) Text() (string, bool) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(r))
	n := len(b)
	for n > 0 && (b[n-1] == 0 || b[n-1] == ' ') {
		n--
	}
	for _, c := range b[:n] {
		if c < '!' || c > '~' {
			return "", false
		}
	}
	return string(b[:n]), n > 0
}

// String prints text identifiers as text, others as an IPv4 address.
func (r RefID) String() string {
	if s, ok := r.Text(); ok {
		return s
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(r))
	return netip.AddrFrom4(b).String()
}
