package netio

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// ctlLen is room for the control messages of a request: a timestamp and the
// destination, for an IPv4 request on an IPv6 socket in both families.
const ctlLen = 256

// accept reads what the kernel put into the slot.
func (s *slot) accept(m *mmsghdr) {
	s.nameLen = m.hdr.Namelen
	s.datagram = Datagram{From: s.source()}
	if m.hdr.Flags&unix.MSG_TRUNC == 0 {
		s.datagram.Payload = s.payload[:m.len]
	}
	s.reply, s.dropped = replyInfo{}, 0
	for rest := s.ctl[:m.hdr.Controllen]; len(rest) >= unix.SizeofCmsghdr; {
		h, data, tail, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		s.control(h.Level, h.Type, data)
		rest = tail
	}
}

// source is the address that the request came from, an IPv4 one as such.
func (s *slot) source() netip.AddrPort {
	if s.nameLen < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(s.name[2:])
	switch binary.NativeEndian.Uint16(s.name[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.name[4:8])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.name[8:24])).Unmap(), port)
	default:
		return netip.AddrPort{}
	}
}

// control reads one control message.
func (s *slot) control(level, kind int32, data []byte) {
	d := &s.datagram
	switch {
	case level == unix.SOL_SOCKET && (kind == unix.SO_TIMESTAMPING_NEW || kind == unix.SO_TIMESTAMPING_OLD):
		if at := softwareTime(data, kind == unix.SO_TIMESTAMPING_NEW); !at.IsZero() {
			d.Stamp = proto.Stamp{At: at, Source: proto.StampKernel, Err: kernelErr}
		}
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		s.dropped = binary.NativeEndian.Uint32(data)
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		i := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		d.To = netip.AddrFrom4(i.Addr)
		// The kernel offers a local address to answer from, which is another
		// one when the destination is a group.
		d.Group = i.Addr != i.Spec_dst
		s.reply.from4(i.Spec_dst)
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		i := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		if a := netip.AddrFrom16(i.Addr); !a.Is4In6() { // IPv4 comes with IP_PKTINFO too
			d.To, d.Group = a, a.IsMulticast()
			s.reply.from6(i.Addr)
		}
	}
}

// replyInfo is the control message that makes a response leave from the address
// that was asked. The interface is left to routing; a link-local destination
// names its own.
type replyInfo struct {
	header unix.Cmsghdr
	body   [(unix.SizeofInet6Pktinfo + 7) / 8 * 8]byte
	length int
}

func (r *replyInfo) from4(a [4]byte) {
	i := unix.Inet4Pktinfo{Spec_dst: a}
	r.set(unix.IPPROTO_IP, unix.IP_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&i)), unix.SizeofInet4Pktinfo))
}

func (r *replyInfo) from6(a [16]byte) {
	i := unix.Inet6Pktinfo{Addr: a}
	r.set(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&i)), unix.SizeofInet6Pktinfo))
}

func (r *replyInfo) set(level, kind int32, body []byte) {
	r.header.Level, r.header.Type = level, kind
	r.header.SetLen(unix.CmsgLen(len(body)))
	copy(r.body[:], body)
	r.length = unix.CmsgSpace(len(body))
}

// attach adds it to a message, if there is one.
func (r *replyInfo) attach(h *unix.Msghdr) {
	if r.length == 0 {
		return
	}
	h.Control = (*byte)(unsafe.Pointer(r))
	h.SetControllen(r.length)
}
