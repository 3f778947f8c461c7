package netio

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// patience bounds the wait for something that does happen; no test measures
// with it.
const patience = 30 * time.Second

// listen opens a server socket on a loopback address.
func listen(t *testing.T, addr string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
	if err != nil {
		t.Skipf("no %s on this machine: %v", addr, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// dial opens an exchange and closes it with the test.
func dial(t *testing.T, to netip.AddrPort, out chan<- Result) *Exchange {
	t.Helper()
	c := NewClient(out)
	t.Cleanup(c.Close)
	x, err := c.Dial(7, to, engine.Route{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.Close()
		<-x.idle // the goroutine ends, or the test binary says so
	})
	return x
}

func next(t *testing.T, out <-chan Result) Result {
	t.Helper()
	select {
	case r := <-out:
		return r
	case <-time.After(patience):
		t.Fatal("no result")
		return Result{}
	}
}

// collect waits for one result of each kind, in whatever order they come.
func collect(t *testing.T, out <-chan Result, kinds ...Kind) map[Kind]Result {
	t.Helper()
	got := map[Kind]Result{}
	for range kinds {
		r := next(t, out)
		got[r.Kind] = r
	}
	for _, k := range kinds {
		if _, ok := got[k]; !ok {
			t.Fatalf("no result of kind %d in %v", k, got)
		}
	}
	return got
}

func TestExchangeStampsBothWays(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			server, to := listen(t, addr)
			out := make(chan Result)
			x := dial(t, to, out)
			before := realtime()
			if err := x.Send([]byte("request")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil || string(buf[:n]) != "request" {
				t.Fatalf("server read %q, %v", buf[:n], err)
			}
			if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); from != x.Local() {
				t.Errorf("came from %v, the socket says %v", from, x.Local())
			}
			between := realtime()
			if _, err := server.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			got := collect(t, out, Transmitted, Received)
			after := realtime()

			tx, rx := got[Transmitted], got[Received]
			if tx.Stamp.At.Before(before) || between.Before(tx.Stamp.At) {
				t.Errorf("transmitted at %v, not in [%v, %v]", tx.Stamp.At, before, between)
			}
			if rx.Stamp.At.Before(between) || after.Before(rx.Stamp.At) {
				t.Errorf("received at %v, not in [%v, %v]", rx.Stamp.At, between, after)
			}
			if rx.From != to || string(rx.Payload) != "answer" || rx.Exchange != 7 || tx.Exchange != 7 {
				t.Errorf("got %+v", rx)
			}
			if tx.Stamp.Err <= 0 || rx.Stamp.Err <= 0 {
				t.Errorf("a stamp without an error: %v, %v", tx.Stamp, rx.Stamp)
			}
		})
	}
}

func TestExchangeHasAPortOfItsOwn(t *testing.T) {
	_, to := listen(t, "127.0.0.1")
	ports := map[uint16]bool{}
	for range 8 {
		ports[dial(t, to, make(chan Result)).Local().Port()] = true
	}
	if len(ports) != 8 {
		t.Errorf("8 exchanges share %d ports", len(ports))
	}
}

// RFC 9109 section 4: "a client SHOULD use a randomized source port". Ports one
// after another, or at any other distance that repeats, could be foretold.
func TestRFC9109Section4PortsAreRandom(t *testing.T) {
	_, to := listen(t, "127.0.0.1")
	const n = 64
	distances, last, least, most := map[int]int{}, 0, 1<<16, 0
	for range n {
		x := dial(t, to, make(chan Result))
		port := int(x.Local().Port())
		distances[port-last]++
		last, least, most = port, min(least, port), max(most, port)
	}
	for d, times := range distances {
		if times > n/8 {
			t.Errorf("%d of %d ports have the distance %d to the one before", times, n, d)
		}
	}
	if most-least < 4096 {
		t.Errorf("%d ports are all from %d to %d", n, least, most)
	}
}

func TestExchangeHearsItsServerOnly(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	stranger, _ := listen(t, "127.0.0.1")
	out := make(chan Result, 8)
	x := dial(t, to, out)
	if err := x.Send([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.WriteToUDPAddrPort([]byte("forged"), x.Local()); err != nil {
		t.Fatal(err)
	}
	if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
		t.Fatal(err)
	}
	if r := collect(t, out, Transmitted, Received)[Received]; string(r.Payload) != "answer" {
		t.Errorf("received %q", r.Payload)
	}
}

func TestExchangeKeepsTheStartOfALongDatagram(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	long := bytes.Repeat([]byte{0xab}, MaxPayload+100)
	if _, err := server.WriteToUDPAddrPort(long, x.Local()); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); !bytes.Equal(r.Payload, long[:MaxPayload]) {
		t.Errorf("kept %d octets, want %d", len(r.Payload), MaxPayload)
	}
}

func TestExchangeOwnsWhatItDelivers(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result, 2)
	x := dial(t, to, out)
	for _, s := range []string{"one", "two"} {
		if _, err := server.WriteToUDPAddrPort([]byte(s), x.Local()); err != nil {
			t.Fatal(err)
		}
	}
	a, b := next(t, out), next(t, out)
	if string(a.Payload) != "one" || string(b.Payload) != "two" {
		t.Errorf("got %q and %q", a.Payload, b.Payload)
	}
}

func TestExchangeRefused(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	_ = server.Close() // nothing listens on its port any more
	out := make(chan Result)
	x := dial(t, to, out)
	if err := x.Send([]byte("request")); err != nil {
		t.Fatal(err)
	}
	r := collect(t, out, Transmitted, Bounced)[Bounced]
	if !errors.Is(r.Err, syscall.ECONNREFUSED) {
		t.Fatalf("got %v", r.Err)
	}
	want := engine.SendFailed{Exchange: 7, Failure: engine.Failure{
		Class: engine.ClassRefused,
		Text:  "no answer from " + to.String() + ": connection refused (nothing listens there)",
	}}
	if ev, err := r.Event(nil); err != nil || ev != want {
		t.Errorf("event %+v, %v; want %+v", ev, err, want)
	}
}

func TestExchangeSendsOnce(t *testing.T) {
	_, to := listen(t, "127.0.0.1")
	out := make(chan Result, 1)
	x := dial(t, to, out)
	if err := x.Send([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.Kind != Transmitted {
		t.Fatalf("got %+v", r)
	}
	if x.Send([]byte("b")) == nil {
		t.Error("a second request left from the same port")
	}
	x.Close()
	x.Close() // does no harm
	if err := x.Send([]byte("c")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send on a closed exchange: %v", err)
	}
}

// TestExchangeReportsTransmissionOnce keeps the exchange open beyond the wait
// for the kernel's timestamp.
func TestExchangeReportsTransmissionOnce(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	if err := x.Send([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.Kind != Transmitted {
		t.Fatalf("got %+v", r)
	}
	for end := time.Now().Add(3 * stampWait); time.Now().Before(end); {
		if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
			t.Fatal(err)
		}
		if r := next(t, out); r.Kind != Received {
			t.Fatalf("got %+v", r)
		}
	}
}

func TestExchangeThatCannotSendReportsNothingElse(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	err := x.Send(make([]byte, 1<<16))
	if !errors.Is(err, syscall.EMSGSIZE) || Failure(err).Text != "could not send to "+to.String()+": message too long" {
		t.Fatalf("got %v", err)
	}
	for end := time.Now().Add(3 * stampWait); time.Now().Before(end); {
		if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
			t.Fatal(err)
		}
		if r := next(t, out); r.Kind != Received {
			t.Fatalf("got %+v", r)
		}
	}
}

// TestExchangeDrainsItsSocket: the poller tells of a full queue once.
func TestExchangeDrainsItsSocket(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	x := dial(t, to, out)
	for i := range 50 { // while nobody takes the first one
		if _, err := server.WriteToUDPAddrPort([]byte{byte(i)}, x.Local()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if r := next(t, out); r.Payload[0] != byte(i) {
			t.Fatalf("got %d, want %d", r.Payload[0], i)
		}
	}
}

func TestDialTakesIPv4InIPv6(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	out := make(chan Result)
	c := NewClient(out)
	defer c.Close()
	mapped := netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	x, err := c.Dial(1, mapped, engine.Route{Family: engine.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := server.WriteToUDPAddrPort([]byte("answer"), x.Local()); err != nil {
		t.Fatal(err)
	}
	if r := next(t, out); r.From != to {
		t.Errorf("from %v, want %v", r.From, to)
	}
}

// TestExchangeCloseReleasesADelivery closes while nobody takes the result.
func TestExchangeCloseReleasesADelivery(t *testing.T) {
	server, to := listen(t, "127.0.0.1")
	x := dial(t, to, make(chan Result))
	if _, err := server.WriteToUDPAddrPort([]byte("nobody waits for this"), x.Local()); err != nil {
		t.Fatal(err)
	}
	x.Close()
	select {
	case <-x.idle:
	case <-time.After(patience):
		t.Fatal("the receiver still runs")
	}
}

func TestDialErrors(t *testing.T) {
	v4 := netip.MustParseAddrPort("127.0.0.1:123")
	for _, tt := range []struct {
		name  string
		to    netip.AddrPort
		route engine.Route
		class engine.Class
	}{
		{"proxy", v4, engine.Route{Proxy: "socks5://127.0.0.1:1080"}, engine.ClassNotSupported},
		{"family", v4, engine.Route{Family: engine.IPv6}, engine.ClassNotSupported},
		{"interface", v4, engine.Route{Interface: "nosuch0"}, engine.ClassNetwork},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewClient(make(chan Result))
			defer c.Close()
			x, err := c.Dial(1, tt.to, tt.route)
			if err == nil {
				x.Close()
				t.Fatal("dialled")
			}
			if f := Failure(err); f.Class != tt.class {
				t.Errorf("class %s (%s), want %s", f.Class, f.Text, tt.class)
			}
		})
	}
}

func TestResultEventConvertsTheStamp(t *testing.T) {
	shift := func(at proto.Timestamp) (proto.Timestamp, proto.Duration, error) { return at + 100, 5, nil }
	stamp := proto.Stamp{At: 1000, Source: proto.StampKernel, Err: 2}
	moved := proto.Stamp{At: 1100, Source: proto.StampKernel, Err: 7}

	ev, err := Result{Exchange: 3, Kind: Transmitted, Stamp: stamp}.Event(shift)
	if want := (engine.Sent{Exchange: 3, Stamp: moved}); err != nil || ev != want {
		t.Errorf("got %+v, %v; want %+v", ev, err, want)
	}
	ev, err = Result{Exchange: 3, Kind: Received, Stamp: stamp, Payload: []byte("x")}.Event(shift)
	if r, ok := ev.(engine.Received); err != nil || !ok || r.Stamp != moved || string(r.Payload) != "x" {
		t.Errorf("got %+v, %v", ev, err)
	}
	broken := errors.New("broken")
	_, err = Result{Kind: Received, Stamp: stamp}.Event(func(proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
		return 0, 0, broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("a failing conversion gives %v", err)
	}
}
