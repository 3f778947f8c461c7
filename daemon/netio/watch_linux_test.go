package netio

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/testns"
)

// TestWatchHearsTheKernel gives the loopback device of an empty network an
// address and a default route.
func TestWatchHearsTheKernel(t *testing.T) {
	if !testns.Inside(t, testns.Network, 0) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan []netip.Addr, 8)
	ended := make(chan struct{})
	go func() { Watch(ctx, time.Hour, func(a []netip.Addr) { reports <- a }); close(ended) }()
	next := func() []netip.Addr {
		select {
		case a := <-reports:
			return a
		case <-time.After(patience):
			t.Fatal("nothing reported")
			return nil
		}
	}
	if a := next(); len(a) != 0 {
		t.Fatalf("an empty network has %v", a)
	}
	setUp(t, "lo") // which has ::1 and 127.0.0.1 then
	if a := next(); !slices.Contains(a, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("reported %v", a)
	}
	addDefaultRoute(t)
	if a := next(); !slices.Contains(a, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("reported %v", a)
	}
	cancel()
	<-ended
}

// setUp switches a device on.
func setUp(t *testing.T, device string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(device)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		t.Fatal(err)
	}
}

// addDefaultRoute routes everything to the loopback device, by a netlink
// message of a header, struct rtmsg and the attribute RTA_OIF.
func addDefaultRoute(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	e := binary.NativeEndian
	b := e.AppendUint32(nil, 36) // length
	b = e.AppendUint16(b, unix.RTM_NEWROUTE)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_ACK)
	b = e.AppendUint32(b, 1) // sequence
	b = e.AppendUint32(b, 0) // port
	b = append(b, unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST)
	b = e.AppendUint32(b, 0) // flags
	b = e.AppendUint16(b, 8) // the attribute's length
	b = e.AppendUint16(b, unix.RTA_OIF)
	b = e.AppendUint32(b, 1) // lo is the first device
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 128)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 || int32(e.Uint32(answer[16:])) != 0 {
		t.Fatalf("the route was not added: %v, % x", err, answer[:n])
	}
}

func TestParseNews(t *testing.T) {
	message := func(kind uint16, data ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(16+len(data)))
		b = binary.NativeEndian.AppendUint16(b, kind)
		return append(append(b, make([]byte, 10)...), data...)
	}
	route := func(length, table, kind byte, flags uint32) []byte {
		b := []byte{unix.AF_INET, length, 0, 0, table, 0, 0, kind}
		return message(unix.RTM_NEWROUTE, binary.NativeEndian.AppendUint32(b, flags)...)
	}
	for _, tt := range []struct {
		name   string
		b      []byte
		any    bool
		routes bool
	}{
		{"nothing", nil, false, false},
		{"rubbish", []byte{1, 2, 3}, false, false},
		{"address", message(unix.RTM_NEWADDR), true, false},
		{"lost address", message(unix.RTM_DELADDR), true, false},
		{"link", message(unix.RTM_NEWLINK), false, false},
		{"default route", route(0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, 0), true, true},
		{"other route", route(24, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, 0), false, false},
		{"local table", route(0, unix.RT_TABLE_LOCAL, unix.RTN_UNICAST, 0), false, false},
		{"unreachable", route(0, unix.RT_TABLE_MAIN, unix.RTN_UNREACHABLE, 0), false, false},
		{"cached", route(0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, unix.RTM_F_CLONED), false, false},
		{"short route", message(unix.RTM_DELROUTE, 2, 0), false, false},
		{"several", slices.Concat(message(unix.RTM_NEWLINK), message(unix.RTM_NEWADDR), route(0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, 0)), true, true},
	} {
		if what, any := parseNews(tt.b); any != tt.any || what.routes != tt.routes {
			t.Errorf("%s: %+v, %v", tt.name, what, any)
		}
	}
}
