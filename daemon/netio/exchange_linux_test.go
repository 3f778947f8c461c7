package netio

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"golang.org/x/sys/unix"
)

// TestExchangeUsesKernelStamps holds on every Linux that this suite runs on:
// the loopback device takes transmit timestamps too. The kernel begins a
// moment after the client asked; from then on it goes on.
func TestExchangeUsesKernelStamps(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	c := NewClient(out)
	defer c.Close()
	exchange := func(id engine.ExchangeID) map[Kind]Result {
		x, err := c.Dial(id, to, engine.Route{})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		if err := x.Send([]byte("request")); err != nil {
			t.Fatal(err)
		}
		if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
			t.Fatal(err)
		}
		return collect(t, out, Transmitted, Received)
	}
	id := engine.ExchangeID(1)
	for end := time.Now().Add(patience); exchange(id)[Received].Stamp.Source != proto.StampKernel; id++ {
		if time.Now().After(end) {
			t.Fatal("the kernel stamps nothing")
		}
	}
	for range 20 {
		id++
		for kind, r := range exchange(id) {
			if r.Stamp.Source != proto.StampKernel {
				t.Errorf("kind %d was stamped by the %v", kind, r.Stamp.Source)
			}
		}
	}
}

// TestExchangeFallsBackToItsOwnStamp takes the kernel's timestamps away.
func TestExchangeFallsBackToItsOwnStamp(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	raw, err := x.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = control(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	before := realtime()
	if err := x.Send([]byte("request")); err != nil {
		t.Fatal(err)
	}
	after := realtime()
	r := next(t, out)
	if r.Kind != Transmitted || r.Stamp.Source != proto.StampDaemon {
		t.Fatalf("got %+v", r)
	}
	if r.Stamp.At.Before(before) || after.Before(r.Stamp.At) || r.Stamp.Err > after.Sub(before) {
		t.Errorf("own stamp %+v, sent in [%v, %v]", r.Stamp, before, after)
	}
	if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.Kind != Received || r.Stamp.Source != proto.StampDaemon {
		t.Errorf("got %+v", r)
	}
}

func TestExchangeBindsToAnInterface(t *testing.T) {
	_, to := listen(t, "127.0.0.1")
	c := NewClient(make(chan Result, 1))
	defer c.Close()
	x, err := c.Dial(1, to, engine.Route{Interface: "lo"})
	if err != nil {
		t.Skipf("binding to an interface is not allowed here: %v", err)
	}
	defer x.Close()
	raw, err := x.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var device string
	err = control(raw, func(fd int) (err error) {
		device, err = unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
		return err
	})
	if err != nil || device != "lo" {
		t.Errorf("bound to %q, %v", device, err)
	}
}

func TestSenderHasTheZoneDialled(t *testing.T) {
	dialled := netip.MustParseAddrPort("[fe80::1%lo]:123")
	x := Exchange{to: dialled}
	peer := &unix.SockaddrInet6{Addr: dialled.Addr().As16(), Port: 123, ZoneId: 1}
	if from := x.from(peer); from != dialled {
		t.Errorf("from %v, want %v", from, dialled)
	}
	peer.Addr[15] = 2
	if from := x.from(peer); from != netip.MustParseAddrPort("[fe80::2]:123") {
		t.Errorf("from %v", from)
	}
}

func TestSoftwareTime(t *testing.T) {
	wide := func(words ...int64) (b []byte) {
		for _, w := range words {
			b = binary.NativeEndian.AppendUint64(b, uint64(w))
		}
		return b
	}
	for _, tt := range []struct {
		name string
		data []byte
		want proto.Timestamp
	}{
		{"none taken", wide(0, 0, 0, 0, 0, 0), 0},
		{"2026", wide(1_800_000_000, 500_000_000, 0, 0, 0, 0), proto.FromUnix(1_800_000_000, 500_000_000)},
		{"2040", wide(2_208_988_801, 1, 0, 0, 0, 0), proto.FromUnix(2_208_988_801, 1)},
		{"short", make([]byte, 15), 0},
		{"empty", nil, 0},
	} {
		if got := softwareTime(tt.data, true); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// FuzzControlStamp: the kernel is trusted, but a parser of lengths is not.
func FuzzControlStamp(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, oob []byte) {
		if s := controlStamp(oob); s.At.IsZero() != (s.Source == proto.StampNone) {
			t.Errorf("%+v", s)
		}
	})
}
