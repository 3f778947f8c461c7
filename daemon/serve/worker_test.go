package serve

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// one is a worker that the test runs batch by batch.
func one(t *testing.T, clock Clock) (w *worker, c *net.UDPConn) {
	t.Helper()
	socket, err := netio.OpenServer(netio.ServerConfig{Listen: netip.MustParseAddrPort("0.0.0.0:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	cfg := config(t, clock)
	census, err := server.NewCensus(server.ScopeNetwork, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newWorker(socket, policy, new(server.Counters), census.Tally(), &cfg), dial(t, at("127.0.0.1", socket.Local()))
}

// TestBatches: more requests than fit a batch, and many more than leave
// together, are all answered, each with its own origin.
func TestBatches(t *testing.T) {
	w, c := one(t, realtime{})
	const requests = batchLen + 7
	for i := range requests {
		if _, err := c.Write(request(4, proto.Timestamp(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	for w.counters.Verdict(server.Accepted) < requests {
		if err := w.serve(); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	for i := range requests {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := proto.ParseHeader(buf[:n]); err != nil || h.Origin != proto.Timestamp(i+1) {
			t.Errorf("answer %d is for %v, %v", i, h.Origin, err)
		}
	}
}

// ticking is a clock that moves with every reading.
type ticking struct {
	by, at proto.Duration
}

func (c *ticking) Now() (proto.Timestamp, error) {
	c.at += c.by
	return start0.Add(proto.Second + c.at), nil
}
func (c *ticking) Convert(proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return start0, 0, nil
}

// TestResponsesDoNotWait: they leave in small groups, of which the first was
// stamped no more than 10 µs before the last but one.
func TestResponsesDoNotWait(t *testing.T) {
	for _, test := range []struct {
		by   proto.Duration
		want []int // responses that wait after each request
	}{
		{0, group(flushCount)},
		{micro / 3, group(flushCount)},
		{micro / 2, group(22)},
		{2 * micro, group(7)},
		{6 * micro, []int{1, 2, 0, 1, 2, 0, 1, 2, 0}},
		{11 * micro, []int{1, 0, 1, 0, 1, 0, 1, 0, 1}},
	} {
		w, c := one(t, &ticking{by: test.by})
		for range test.want {
			if _, err := c.Write(request(4, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := w.socket.Receive(w.batch); n != len(test.want) || err != nil {
			t.Fatal(n, err)
		}
		var got []int
		for i := range test.want {
			w.answer(i, w.snapshot.Load(), nil, boottime())
			got = append(got, w.batch.Queued())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("a response each %v: %v wait, want %v", test.by, got, test.want)
		}
	}
}

// group is how many responses wait when so many leave at a time, up to the first
// of the second group.
func group(of int) (waiting []int) {
	for i := range of + 1 {
		waiting = append(waiting, (i+1)%of)
	}
	return waiting
}

// TestBrokenClock: without the time there is no answer.
func TestBrokenClock(t *testing.T) {
	w, c := one(t, broken{})
	if _, err := c.Write(request(4, 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.serve(); err != nil {
		t.Fatal(err)
	}
	if got := w.counters.Verdict(server.NoTime); got != 1 {
		t.Errorf("counted %d", got)
	}
}

// TestBroadcastIsNotAnswered: a request to all is dropped and counted.
func TestBroadcastIsNotAnswered(t *testing.T) {
	w, c := one(t, realtime{})
	all, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if _, err := all.WriteToUDPAddrPort(request(4, 1), at("127.255.255.255", w.socket.Local())); err != nil {
		t.Skipf("no broadcast address here: %v", err)
	}
	if _, err := c.Write(request(4, 2)); err != nil {
		t.Fatal(err)
	}
	for w.counters.Verdict(server.Accepted) == 0 {
		if err := w.serve(); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.counters.Verdict(server.WrongTarget); got != 1 {
		t.Errorf("counted %d", got)
	}
	if err := all.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := all.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("answered with %d octets, %v", n, err)
	}
}

// TestSendErrors: a response that could not be sent is counted.
func TestSendErrors(t *testing.T) {
	w, c := one(t, realtime{})
	if _, err := c.Write(request(4, 1)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.socket.Receive(w.batch); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	w.answer(0, w.snapshot.Load(), nil, boottime())
	if err := w.socket.Close(); err != nil {
		t.Fatal(err)
	}
	w.flush()
	var got server.Stats
	w.counters.AddTo(&got)
	if got.ResponseSendErrors != 1 {
		t.Errorf("%+v", got)
	}
}
