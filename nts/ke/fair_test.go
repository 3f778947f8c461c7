package ke

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
)

func TestSheddingIsFair(t *testing.T) {
	heavy, light := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	f := NewFair(nil, 100, nil)
	fill := func(a netip.Addr, n int) (admitted int) {
		for range n {
			if f.admit(Network(a)) {
				admitted++
			}
		}
		return admitted
	}
	// While there is room one network may have all of it.
	if n := fill(heavy, 200); n != 75 {
		t.Errorf("a network alone got %d of 100 places", n)
	}
	if n := fill(netip.MustParseAddr("192.0.2.77"), 1); n != 0 {
		t.Error("a neighbour in the same /24 counts as another")
	}
	// Another network gets in under pressure, up to an even share.
	if n := fill(light, 10); n != 10 {
		t.Errorf("a light network got %d of 10", n)
	}
	if n := fill(heavy, 1); n != 0 {
		t.Error("the heavy network got one more")
	}
	for i := range 15 {
		if n := fill(netip.AddrFrom4([4]byte{203, 0, byte(i), 1}), 1); n != 1 {
			t.Errorf("newcomer %d was refused", i)
		}
	}
	if n := fill(netip.MustParseAddr("100.64.0.1"), 1); n != 0 || f.open != 100 {
		t.Errorf("%d open of 100", f.open)
	}
	for range 75 {
		f.free(Network(heavy))
	}
	if _, there := f.by[Network(heavy)]; there || f.open != 25 {
		t.Errorf("%d open, networks %v", f.open, f.by)
	}
	if n := fill(heavy, 1); n != 1 {
		t.Error("no room after all have gone")
	}
}

func TestNetworks(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.255": "192.0.2.0/24", "2001:db8:1:2ff::1": "2001:db8:1:200::/56",
	} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is in %v", addr, got)
		}
	}
	if got := AddrPort(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"))); got.String() != "192.0.2.1:1" {
		t.Errorf("%v", got)
	}
	if got := Network(AddrPort(&net.UnixAddr{}).Addr()); got.IsValid() {
		t.Errorf("%v", got)
	}
}

// TestOneNetworkCannotTakeAllPlaces of a server: what it opens beyond three
// quarters of them is closed at once.
func TestOneNetworkCannotTakeAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.ConcurrentConnections = 8
		w.start()
		var last net.Conn
		for range 7 {
			var err error
			if last, err = w.net.Dial(t.Context(), "tcp", serverAddr); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := w.kinds(); got != "shed" {
			t.Errorf("outcomes %q", got)
		}
		if _, err := last.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
	})
}
