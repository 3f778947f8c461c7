package netio

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/engine"
	"golang.org/x/sys/unix"
)

// TestWhatBouncedEndsNoExchange: an ICMP message is not authenticated, so that
// none of them may be taken for the failure of a request.
func TestWhatBouncedEndsNoExchange(t *testing.T) {
	to := netip.MustParseAddrPort("192.0.2.1:123")
	for _, errno := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENONET,
		syscall.ENOPROTOOPT, syscall.EPROTO, syscall.EACCES, syscall.EMSGSIZE, syscall.ETIMEDOUT,
	} {
		ev, err := Result{Exchange: 7, Kind: Bounced, Err: answerError(to, errno)}.Event(nil)
		failed, ok := ev.(engine.SendFailed)
		if err != nil || !ok || failed.Exchange != 7 || failed.Failure.Class != engine.ClassRefused ||
			!strings.HasPrefix(failed.Failure.Text, "no answer from 192.0.2.1:123: "+errno.Error()) {
			t.Errorf("%v: %+v, %v", errno, ev, err)
		}
	}
}

// TestForgedICMPEndsNoExchange sends every ICMP error that the kernel hands to
// a connected socket, and then the answer.
func TestForgedICMPEndsNoExchange(t *testing.T) {
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		t.Skipf("no raw socket to forge with: %v", err)
	}
	defer unix.Close(raw)
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	if err := x.Send([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.Kind != Transmitted {
		t.Fatalf("got %+v", r)
	}
	const unreachable, parameter = 3, 12
	for _, forged := range []struct{ kind, code byte }{
		{unreachable, 2}, {unreachable, 3}, {unreachable, 6}, {unreachable, 7}, {unreachable, 8},
		{unreachable, 9}, {unreachable, 10}, {unreachable, 13}, {unreachable, 14}, {unreachable, 15}, {parameter, 0},
	} {
		msg := icmpError(forged.kind, forged.code, x.Local(), to)
		if err := unix.Sendto(raw, msg, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
		r := next(t, out)
		if r.Kind != Bounced {
			t.Fatalf("%+v: got %+v", forged, r)
		}
		ev, err := r.Event(nil)
		if failed, ok := ev.(engine.SendFailed); err != nil || !ok || failed.Failure.Class != engine.ClassRefused {
			t.Errorf("%+v: %+v, %v", forged, ev, err)
		}
	}
	if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.Kind != Received || string(r.Payload) != "answer" {
		t.Errorf("got %+v", r)
	}
}

// icmpError is an ICMP message about a UDP datagram (RFC 792), which carries
// the beginning of that datagram.
func icmpError(kind, code byte, from, to netip.AddrPort) []byte {
	msg := make([]byte, 8+20+8)
	msg[0], msg[1] = kind, code
	ip := msg[8:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], 20+8+48)
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	udp := ip[20:]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], 8+48)
	var sum uint32
	for i := 0; i < len(msg); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(msg[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(msg[2:], ^uint16(sum))
	return msg
}
