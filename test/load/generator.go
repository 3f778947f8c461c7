package main

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// load is what to send.
type load struct {
	server    netip.AddrPort
	sessions  []*session // none: plain requests
	spare     int        // cookies to ask for beyond the one spent
	addresses int        // that requests come from
	sockets   int        // that is, ports
	window    int        // requests under way at most, of all sockets
	rate      float64    // requests a second; 0 is a closed loop: as fast as answers come
	warm      time.Duration
	duration  time.Duration
	count     uint64 // requests to measure at most; 0: as many as the time allows
}

// Limits of a load.
const (
	maxAddresses = 1 << 16
	maxSockets   = 256
	maxRate      = 1e6
	maxDuration  = time.Minute
	patience     = 500 * time.Millisecond // for an answer
)

func (l *load) validate() error {
	switch {
	case !l.server.Addr().Is4() || !l.server.Addr().IsLoopback():
		return fmt.Errorf("server %v: not an IPv4 loopback address, and nothing else is asked", l.server)
	case l.addresses < 1 || l.addresses > maxAddresses:
		return fmt.Errorf("%d addresses: 1 to %d", l.addresses, maxAddresses)
	case l.sockets < 1 || l.sockets > maxSockets:
		return fmt.Errorf("%d sockets: 1 to %d", l.sockets, maxSockets)
	case l.window < l.sockets || l.window > maxWindow:
		return fmt.Errorf("window of %d: %d, the sockets, to %d", l.window, l.sockets, maxWindow)
	case l.rate < 0 || l.rate > maxRate:
		return fmt.Errorf("%v requests a second: 0 to %v", l.rate, maxRate)
	case l.warm < 0 || l.duration <= 0 || l.warm+l.duration > maxDuration:
		return fmt.Errorf("%v and %v: more than 0 and at most %v", l.warm, l.duration, maxDuration)
	case l.spare < 0 || l.spare > 7:
		return fmt.Errorf("%d placeholders: 0 to 7", l.spare)
	}
	return nil
}

// tally is what came of the requests after the warm-up.
type tally struct {
	Sent, Answered uint64
	Lost           uint64 // no answer within patience
	Wrong          uint64 // answers that failed a check
	Strays         uint64 // datagrams that answered nothing, or too late
	Cookies        uint64 // that the answers brought
	Skipped        uint64 // not sent in time, in an open loop: the window was full, or the kernel's buffer
	Elapsed        time.Duration
	FirstWrong     string `json:",omitempty"`
	latencies      latencies
	turnaround     latencies // from the receive to the transmit timestamp of the server
}

// wrong counts an answer that is.
func (t *tally) wrong(err error) {
	if t.Wrong++; t.FirstWrong == "" {
		t.FirstWrong = err.Error()
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("%d sent, %d answered, %d lost, %d skipped, %d wrong (%s), %d strays",
		t.Sent, t.Answered, t.Lost, t.Skipped, t.Wrong, t.FirstWrong, t.Strays)
}

// generator sends a load. It belongs to one goroutine.
type generator struct {
	load
	crafter   crafter
	sockets   []*socket
	exchanges []exchange
	free      [][]int // numbers of exchanges that are not busy, for each socket
	turn      int     // of addresses and sessions
	began     time.Time
	due       time.Duration // of the next request in an open loop
	tally     tally
	swept     time.Duration
	polled    []unix.PollFd
}

func newGenerator(l load) (*generator, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	g := &generator{load: l, exchanges: make([]exchange, l.window), free: make([][]int, l.sockets)}
	var seed [32]byte
	_, _ = crand.Read(seed[:])
	g.crafter = crafter{random: rand.NewChaCha8(seed), plaintext: make([]byte, 0, maxDatagram), now: time.Now}
	for i := range g.exchanges {
		g.free[i%l.sockets] = append(g.free[i%l.sockets], i)
	}
	for range l.sockets {
		s, err := openSocket(l.server)
		if err != nil {
			g.close()
			return nil, err
		}
		g.sockets = append(g.sockets, s)
		g.polled = append(g.polled, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	return g, nil
}

func (g *generator) close() {
	for _, s := range g.sockets {
		s.close()
	}
}

// run sends for as long as the load says and waits for the last answers.
// measured is called when the warm-up is over, and when sending is.
func (g *generator) run(measured func()) (*tally, error) {
	g.began = time.Now()
	if err := g.send(g.warm); err != nil {
		return nil, err
	}
	g.tally = tally{FirstWrong: g.tally.FirstWrong, Wrong: g.tally.Wrong}
	measured()
	start := g.elapsed()
	g.due = start
	if err := g.send(start + g.duration); err != nil {
		return nil, err
	}
	measured()
	g.tally.Elapsed = g.elapsed() - start
	answered := g.tally.Answered
	for end := g.elapsed() + patience; g.elapsed() < end && g.underWay() > 0; {
		if _, err := g.receiveAll(10 * time.Millisecond); err != nil {
			return nil, err
		}
	}
	g.sweep(g.elapsed() + 2*patience)
	g.tally.Answered = answered // those behind belong to no processor time that was measured
	return &g.tally, nil
}

func (g *generator) elapsed() time.Duration { return time.Since(g.began) }

func (g *generator) underWay() int {
	n := g.window
	for _, f := range g.free {
		n -= len(f)
	}
	return n
}

// send sends and receives until a time.
func (g *generator) send(until time.Duration) error {
	for now := g.elapsed(); now < until && !g.finished(); now = g.elapsed() {
		for i := range g.sockets {
			if err := g.fill((g.turn+i)%len(g.sockets), now); err != nil {
				return err
			}
		}
		wait := 10 * time.Millisecond
		if g.rate > 0 {
			wait = max(0, g.due-g.elapsed())
		}
		if _, err := g.receiveAll(min(wait, until-now)); err != nil {
			return err
		}
		if now-g.swept > patience/4 {
			g.sweep(now)
		}
	}
	return nil
}

// finished reports whether all requests were sent and have their answers.
func (g *generator) finished() bool {
	return g.count > 0 && g.tally.Sent >= g.count && g.underWay() == 0
}

// fill sends the requests of a socket that are due.
func (g *generator) fill(i int, now time.Duration) error {
	s := g.sockets[i]
	for s.queued < batchLen && (g.count == 0 || g.tally.Sent+uint64(s.queued) < g.count) {
		began := now
		if g.rate > 0 {
			if g.due > now {
				break
			}
			began = g.due
			g.due += time.Duration(float64(time.Second) / g.rate)
		}
		with, ok := g.session()
		if !ok && g.underWay() == 0 && s.queued == 0 {
			return fmt.Errorf("all %d sessions are out of cookies", len(g.sessions))
		}
		if !ok || len(g.free[i]) == 0 {
			if g.rate == 0 {
				break
			}
			g.tally.Skipped++
			continue
		}
		n := len(g.free[i]) - 1
		if err := g.craft(s, g.free[i][n], with, began); err != nil {
			return err
		}
		g.free[i] = g.free[i][:n]
	}
	g.tally.Sent += uint64(s.queued)
	g.tally.Skipped += uint64(s.flush()) // found lost later
	return nil
}

// craft queues request number i.
func (g *generator) craft(s *socket, i int, with *session, began time.Duration) error {
	e := &g.exchanges[i]
	a := g.turn % g.addresses
	e.busy, e.began, e.session = true, began, with
	e.from = [4]byte{127, 1, byte(a >> 8), byte(a)}
	if g.addresses == 1 {
		e.from = [4]byte{127, 0, 0, 1}
	}
	spare := g.spare
	if with != nil { // those that were lost are asked for again
		again := min(with.lost, 7-g.spare)
		with.lost -= again
		spare += again
	}
	g.turn++
	b, err := g.crafter.request(s.room(), e, i, spare)
	if err != nil {
		return err
	}
	s.queue(len(b), e.from)
	return nil
}

// session is the next one that has a cookie, or nil for plain requests; ok is
// false when the cookies of all are under way.
func (g *generator) session() (with *session, ok bool) {
	for try := range g.sessions {
		if s := g.sessions[(g.turn+try)%len(g.sessions)]; s.cookies.Len() > 0 {
			return s, true
		}
	}
	return nil, len(g.sessions) == 0
}

// receiveAll takes the answers of all sockets, and waits for a first one.
func (g *generator) receiveAll(wait time.Duration) (got int, err error) {
	for again := false; ; again = true {
		for _, s := range g.sockets {
			n, err := s.receive()
			if err != nil {
				return got, err
			}
			now := g.elapsed()
			for i := range n {
				g.answered(s, i, now)
			}
			got += n
		}
		if got > 0 || again || wait <= 0 {
			return got, nil
		}
		timeout := unix.NsecToTimespec(int64(wait))
		if _, err := unix.Ppoll(g.polled, &timeout, nil); err != nil && err != unix.EINTR {
			return got, fmt.Errorf("cannot wait for answers: %w", err)
		}
	}
}

// answered judges one datagram.
func (g *generator) answered(s *socket, i int, now time.Duration) {
	b, to, fromServer := s.answer(i)
	n, ok := answers(b, g.exchanges)
	if !ok || !fromServer || g.sockets[n%len(g.sockets)] != s {
		g.tally.Strays++
		return
	}
	e := &g.exchanges[n]
	err := g.crafter.check(b, e)
	if err == nil && to != e.from {
		err = fmt.Errorf("sent to %v, not to %v", netip.AddrFrom4(to), netip.AddrFrom4(e.from))
	}
	g.end(n)
	if err != nil {
		g.tally.wrong(err)
		return
	}
	g.tally.Answered++
	g.tally.Cookies += uint64(e.given)
	g.tally.latencies.add(now - e.began)
	g.tally.turnaround.add(e.turnaround)
}

func (g *generator) end(n int) {
	g.exchanges[n].busy = false
	g.free[n%len(g.sockets)] = append(g.free[n%len(g.sockets)], n)
}

// sweep gives up on requests that wait too long.
func (g *generator) sweep(now time.Duration) {
	g.swept = now
	for n := range g.exchanges {
		e := &g.exchanges[n]
		if e.busy && now-e.began > patience {
			if e.session != nil {
				e.session.lost++
			}
			g.tally.Lost++
			g.end(n)
		}
	}
}
