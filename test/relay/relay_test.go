package relay

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestZeroFaultPassesEverythingAtOnce(t *testing.T) {
	var f Fault
	var n Counts
	random := seeded(1)
	payload := []byte("datagram")
	for range 100 {
		got := f.fate(random, payload, &n)
		if len(got) != 1 || got[0].after != 0 || !bytes.Equal(got[0].payload, payload) {
			t.Fatalf("got %v", got)
		}
	}
	if n != (Counts{Received: 100}) {
		t.Errorf("counts %+v", n)
	}
}

func TestFateOfEachFault(t *testing.T) {
	payload := bytes.Repeat([]byte{0x5a}, 48)
	for _, test := range []struct {
		name  string
		fault Fault
		check func(t *testing.T, copies []copyOf)
		count func(Counts) int
		want  [2]int // the count after 1000 datagrams lies between
	}{
		{"loss", Fault{Loss: 0.3}, nil, func(n Counts) int { return n.Lost }, [2]int{250, 350}},
		{"all lost", Fault{Loss: 1}, nil, func(n Counts) int { return n.Lost }, [2]int{1000, 1000}},
		{"duplicate", Fault{Duplicate: 0.5}, nil, func(n Counts) int { return n.Duplicated }, [2]int{440, 560}},
		{"too long", Fault{MaxLength: 47}, nil, func(n Counts) int { return n.Filtered }, [2]int{1000, 1000}},
		{"just short enough", Fault{MaxLength: 48}, nil, func(n Counts) int { return n.Filtered }, [2]int{0, 0}},
		{"too short", Fault{MinLength: 49}, nil, func(n Counts) int { return n.Filtered }, [2]int{1000, 1000}},
		{"just long enough", Fault{MinLength: 48}, nil, func(n Counts) int { return n.Filtered }, [2]int{0, 0}},
		{"delay", Fault{Delay: time.Second, Jitter: time.Second}, func(t *testing.T, copies []copyOf) {
			if a := copies[0].after; a < time.Second || a >= 2*time.Second {
				t.Errorf("waits %v", a)
			}
		}, func(n Counts) int { return n.Received }, [2]int{1000, 1000}},
		{"hold back", Fault{Reorder: 1, HoldBack: time.Minute}, func(t *testing.T, copies []copyOf) {
			if copies[0].after != time.Minute {
				t.Errorf("waits %v", copies[0].after)
			}
		}, func(n Counts) int { return n.HeldBack }, [2]int{1000, 1000}},
		{"corrupt", Fault{Corrupt: 1}, func(t *testing.T, copies []copyOf) {
			flipped := 0
			for i, b := range copies[0].payload {
				flipped += bits.OnesCount8(b ^ payload[i])
			}
			if flipped != 1 {
				t.Errorf("%d bits flipped", flipped)
			}
		}, func(n Counts) int { return n.Corrupted }, [2]int{1000, 1000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			random := seeded(7)
			var n Counts
			for range 1000 {
				copies := test.fault.fate(random, payload, &n)
				if test.check != nil {
					test.check(t, copies)
				}
			}
			if got := test.count(n); got < test.want[0] || got > test.want[1] {
				t.Errorf("count %d, want between %d and %d: %+v", got, test.want[0], test.want[1], n)
			}
			if payload[0] != 0x5a {
				t.Error("the caller's payload was changed")
			}
		})
	}
}

func TestSameSeedSameFate(t *testing.T) {
	f := Fault{Jitter: time.Second, Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, HoldBack: time.Second, Corrupt: 0.2}
	run := func(seed uint64) (fates [][]copyOf) {
		random := seeded(seed)
		var n Counts
		for range 50 {
			fates = append(fates, f.fate(random, []byte("datagram"), &n))
		}
		return fates
	}
	if !reflect.DeepEqual(run(3), run(3)) {
		t.Error("a seed does not repeat itself")
	}
	if reflect.DeepEqual(run(3), run(4)) {
		t.Error("the seed does not matter")
	}
}

func TestValidateRefusesNonsense(t *testing.T) {
	for _, f := range []Fault{{Loss: -0.1}, {Duplicate: 1.1}, {Corrupt: nan()}, {Reorder: 2}, {Delay: -1}, {Jitter: -1}, {HoldBack: -1}, {MinLength: -1}, {MaxLength: -1}} {
		if f.Validate() == nil {
			t.Errorf("%+v passes", f)
		}
		if _, err := Start(Config{Listen: "127.0.0.1:0", Down: f}); err == nil {
			t.Errorf("a relay starts with %+v", f)
		}
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

// echo answers every datagram with itself.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestRelayForwardsBothWaysForSeveralClients(t *testing.T) {
	r, err := Start(Config{Listen: "127.0.0.1:0", Target: echo(t), Down: Fault{Duplicate: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			answer := make([]byte, 100)
			n, err := conn.Read(answer)
			if err != nil || string(answer[:n]) != text {
				t.Errorf("client %q got %q, %v", text, answer[:n], err)
			}
		}
	}
	if err := r.Set(Fault{Loss: 1}, Fault{}); err != nil {
		t.Fatal(err)
	}
	up, down := r.Counts()
	if up.Received != 3 || up.Delivered != 3 || down.Received != 3 || down.Duplicated != 3 {
		t.Errorf("up %+v, down %+v", up, down)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
