package netio

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Words of classic BPF beyond those of x/sys: where ancillary data and the
// network header are, and a random number.
const (
	bpfAncillary = 0xfffff000 // SKF_AD_OFF
	bpfRandom    = 56         // SKF_AD_RANDOM
	bpfNetwork   = 0xfff00000 // SKF_NET_OFF
	udpHeaderLen = 8
)

// ShedOneIn is the inverse of the part of their datagrams that sources given to
// Shed still get through.
const ShedOneIn = 4

// Shed has the kernel drop, instead of queueing them, datagrams that are
// shorter than an NTP header or not of mode client, which are never answered,
// and at random three of four that come from one of these addresses; of an IPv6
// address its /64 counts. It takes the place of an earlier Shed and needs no
// privilege. What it drops is in Dropped, too.
func (s *ServerSocket) Shed(from []netip.Addr) error {
	program := shedProgram(from)
	return s.option("SO_ATTACH_FILTER", func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// Unshed ends Shed.
func (s *ServerSocket) Unshed() error {
	return s.option("SO_DETACH_FILTER", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	})
}

func (s *ServerSocket) option(name string, set func(fd int) error) error {
	var err error
	if closed := s.raw.Control(func(fd uintptr) { err = set(int(fd)) }); closed != nil {
		return os.ErrClosed
	}
	return os.NewSyscallError("setsockopt "+name, err)
}

// shedProgram is the filter. It sees a datagram from its UDP header on; a load
// from beyond its end drops it.
func shedProgram(from []netip.Addr) []unix.SockFilter {
	const (
		load     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadLen  = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN
		and      = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		shift    = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		least    = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		jump     = unix.BPF_JMP | unix.BPF_JA
		end      = unix.BPF_RET | unix.BPF_K
		all      = 1<<32 - 1
	)
	v4, v6 := shedKeys(from)
	// A jump on a condition reaches 255 instructions, one without any: what
	// matches is led to the draw by a jump of its own.
	lengthV4 := 1 + 2*len(v4) + 1
	lengthV6 := 5*len(v6) + 1
	p := []unix.SockFilter{
		{Code: loadByte, K: udpHeaderLen}, {Code: and, K: 7}, {Code: equal, K: uint32(proto.ModeClient), Jt: 1}, {Code: end, K: 0},
		{Code: loadLen}, {Code: least, K: udpHeaderLen + proto.HeaderLen, Jt: 1}, {Code: end, K: 0},
		{Code: loadByte, K: bpfNetwork}, {Code: shift, K: 4}, {Code: equal, K: 6, Jf: 1}, {Code: jump, K: uint32(lengthV4)},
		{Code: load, K: bpfNetwork + 12},
	}
	for i, key := range v4 {
		draw := lengthV4 - 1 - 2*(i+1) + lengthV6
		p = append(p, unix.SockFilter{Code: equal, K: key, Jf: 1}, unix.SockFilter{Code: jump, K: uint32(draw)})
	}
	p = append(p, unix.SockFilter{Code: end, K: all})
	for i, key := range v6 {
		draw := lengthV6 - 5*(i+1)
		p = append(p,
			unix.SockFilter{Code: load, K: bpfNetwork + 8}, unix.SockFilter{Code: equal, K: uint32(key >> 32), Jf: 3},
			unix.SockFilter{Code: load, K: bpfNetwork + 12}, unix.SockFilter{Code: equal, K: uint32(key), Jf: 1},
			unix.SockFilter{Code: jump, K: uint32(draw)})
	}
	return append(p, unix.SockFilter{Code: end, K: all},
		unix.SockFilter{Code: load, K: bpfAncillary + bpfRandom}, unix.SockFilter{Code: and, K: ShedOneIn - 1},
		unix.SockFilter{Code: equal, K: 0, Jf: 1}, unix.SockFilter{Code: end, K: all}, unix.SockFilter{Code: end, K: 0})
}

// shedKeys are the addresses as the filter compares them.
func shedKeys(from []netip.Addr) (v4 []uint32, v6 []uint64) {
	for _, a := range from {
		if a = a.Unmap(); a.Is4() {
			b := a.As4()
			v4 = append(v4, binary.BigEndian.Uint32(b[:]))
			continue
		}
		b := a.As16()
		v6 = append(v6, binary.BigEndian.Uint64(b[:8]))
	}
	return v4, v6
}
