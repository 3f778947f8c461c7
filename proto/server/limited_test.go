package server

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// askAll has clients ask a responder with a limit of one request a second, all
// within it, and returns how many were answered.
func askAll(t *testing.T, r *Responder, clients func(i int) netip.Addr, n int) (answered int) {
	t.Helper()
	for i := range n {
		q := from(clients(i).String(), plain(4))
		response, verdict := r.Respond(nil, q, synchronised(), nil, transmitAt(txTime))
		if verdict == Accepted && len(response) > 0 {
			answered++
		}
	}
	return answered
}

// TestAHostCannotMultiply: who has a /64 to itself is answered no more often
// than who has one address, and as many /64 as there are networks are.
func TestAHostCannotMultiply(t *testing.T) {
	const n = 500
	within := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) }
	many := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i+1)) }
	config := func() Config {
		return Config{Limiter: strict(limiter(t, 1<<20, time.Second)), Versions: Version3And4}
	}
	if got := askAll(t, New(config(), seeded(2)), within, n); got != 1 {
		t.Errorf("%d addresses of a /64 get %d answers", n, got)
	}
	if got := askAll(t, New(config(), seeded(2)), many, n); got < n-5 { // few meet in a slot, and are answered
		t.Errorf("%d networks get %d answers", n, got)
	}
}

// TestAQuarterOfLimitedRequestsIsAnswered, so that nobody can silence a server
// for somebody else.
func TestAQuarterOfLimitedRequestsIsAnswered(t *testing.T) {
	const n = 4000
	r := New(Config{Limiter: limiter(t, 1000, time.Second), Versions: Version3And4}, seeded(2))
	got := askAll(t, r, func(int) netip.Addr { return netip.MustParseAddr("192.0.2.1") }, n)
	if got < n/5 || got > n/3 {
		t.Errorf("%d of %d requests are answered", got, n)
	}
}
