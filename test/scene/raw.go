package scene

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Raw sends datagrams that claim to come from anywhere.
type Raw struct{ fd int }

// Raw opens a raw socket on a host.
func (t *Trial) Raw(h *lab.Host) *Raw {
	r := &Raw{fd: -1}
	t.Check(h.Inside(func() error {
		var err error
		if r.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		return unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
	}))
	t.Cleanup(func() { unix.Close(r.fd) })
	return r
}

// Send forges a UDP datagram.
func (r *Raw) Send(t *Trial, from, to netip.AddrPort, payload []byte) {
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(udp, 0, 0) // without a checksum, as IPv4 allows
	t.Check(r.ip(unix.IPPROTO_UDP, from.Addr(), to.Addr(), append(udp, payload...)))
}

// ICMP forges an ICMP message about a UDP datagram that went from one address to another. It claims to come from via.
func (r *Raw) ICMP(t *Trial, kind, code uint8, mtu uint16, via netip.Addr, from, to netip.AddrPort) {
	original := header(unix.IPPROTO_UDP, from.Addr(), to.Addr(), 8+48)
	original = binary.BigEndian.AppendUint16(original, from.Port())
	original = binary.BigEndian.AppendUint16(original, to.Port())
	original = append(original, 0, 56, 0, 0)
	message := []byte{kind, code, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}
	message = append(message, original...)
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	t.Check(r.ip(unix.IPPROTO_ICMP, via, from.Addr(), message))
}

func (r *Raw) ip(protocol uint8, from, to netip.Addr, body []byte) error {
	packet := append(header(protocol, from, to, len(body)), body...)
	var address unix.SockaddrInet4
	address.Addr = to.As4()
	if err := unix.Sendto(r.fd, packet, 0, &address); err != nil {
		return fmt.Errorf("forge a packet from %s to %s: %w", from, to, err)
	}
	return nil
}

func header(protocol uint8, from, to netip.Addr, body int) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+body))
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return b
}

// checksum is the internet checksum of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Datagram is a UDP datagram that was on the wire.
type Datagram struct {
	From, To netip.AddrPort
	Payload  []byte
	Fragment bool // it was a fragment, or may become one
	MayFrag  bool // without the bit that forbids routers to fragment it
}

// Sniffer sees every UDP datagram over IPv4 on an interface of a host.
type Sniffer struct {
	fd   int
	mu   sync.Mutex
	seen []Datagram
}

// Sniff starts to listen on an interface.
func (t *Trial) Sniff(h *lab.Host, name string) *Sniffer {
	s := &Sniffer{fd: -1}
	t.Check(h.Inside(func() error {
		iface, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL
		protocol := uint16(all>>8 | all<<8&0xff00) // network order
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(int64(100 * time.Millisecond))
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: iface.Index})
	}))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.listen(stop)
	}()
	t.Cleanup(func() { close(stop); <-done; unix.Close(s.fd) })
	return s
}

func (s *Sniffer) listen(stop chan struct{}) {
	b := make([]byte, 1<<16)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(s.fd, b, 0)
		if err != nil || n < 28 {
			continue
		}
		// On the loopback interface every packet passes twice: it counts when it leaves.
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype != unix.PACKET_OUTGOING && link.Hatype == unix.ARPHRD_LOOPBACK {
			continue
		}
		if d, ok := parse(b[:n]); ok {
			s.mu.Lock()
			s.seen = append(s.seen, d)
			s.mu.Unlock()
		}
	}
}

// parse reads UDP over IPv4; a fragment that is not the first has no ports.
func parse(b []byte) (Datagram, bool) {
	length := int(b[0]&15) * 4
	if b[0]>>4 != 4 || b[9] != unix.IPPROTO_UDP || length < 20 || len(b) < length+8 {
		return Datagram{}, false
	}
	flags := binary.BigEndian.Uint16(b[6:])
	at := func(addr []byte, port []byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), binary.BigEndian.Uint16(port))
	}
	return Datagram{
		From: at(b[12:16], b[length:]), To: at(b[16:20], b[length+2:]), Payload: slices.Clone(b[length+8:]),
		Fragment: flags&0x3fff != 0, MayFrag: flags&0x4000 == 0,
	}, true
}

// Seen is everything so far.
func (s *Sniffer) Seen() []Datagram {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Count is how many datagrams went from one address to another.
func (s *Sniffer) Count(from, to netip.AddrPort) int {
	n := 0
	for _, d := range s.Seen() {
		if d.From == from && d.To == to {
			n++
		}
	}
	return n
}
