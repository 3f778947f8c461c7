package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Config is a relay's whole behaviour.
type Config struct {
	Listen string // address for clients, such as "127.0.0.1:0"
	Target netip.AddrPort
	Up     Fault // from clients to the target
	Down   Fault // from the target to clients
	Seed   uint64
	// Inside, if set, runs what opens a socket: on a thread in another network namespace, say.
	Inside func(open func() error) error
}

// maxSessions bounds the clients that a relay remembers. A client is an address and port; the one silent for longest goes.
const maxSessions = 1024

// Relay forwards between any number of clients and one target. Each client has a socket of its own towards the target, so
// that the target sees different clients as different ports.
type Relay struct {
	target netip.AddrPort
	inside func(open func() error) error
	front  *net.UDPConn

	mu       sync.Mutex
	up, down direction
	sessions map[netip.AddrPort]*session
	timers   map[*time.Timer]struct{}
	closed   bool
	running  sync.WaitGroup
}

// direction is the state of one direction, guarded by the relay's mutex.
type direction struct {
	fault  Fault
	random *rand.Rand
	counts Counts
}

type session struct {
	conn *net.UDPConn // connected to the target
	used time.Time
}

// Start opens the relay. Close ends it.
func Start(c Config) (*Relay, error) {
	if err := errors.Join(c.Up.Validate(), c.Down.Validate()); err != nil {
		return nil, err
	}
	listen, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Inside == nil {
		c.Inside = func(open func() error) error { return open() }
	}
	var front *net.UDPConn
	err = c.Inside(func() error {
		var err error
		front, err = net.ListenUDP("udp", listen)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{
		target:   c.Target,
		inside:   c.Inside,
		front:    front,
		up:       direction{fault: c.Up, random: rand.New(rand.NewPCG(c.Seed, 1))},
		down:     direction{fault: c.Down, random: rand.New(rand.NewPCG(c.Seed, 2))},
		sessions: map[netip.AddrPort]*session{},
		timers:   map[*time.Timer]struct{}{},
	}
	r.running.Go(r.serveClients)
	return r, nil
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort { return r.front.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set changes the faults of both directions; datagrams on their way keep their fate.
func (r *Relay) Set(up, down Fault) error {
	if err := errors.Join(up.Validate(), down.Validate()); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up.fault, r.down.fault = up, down
	return nil
}

// Counts tells what happened in both directions so far.
func (r *Relay) Counts() (up, down Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up.counts, r.down.counts
}

// Close ends the relay and drops what is on its way.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	for t := range r.timers {
		t.Stop()
	}
	for _, s := range r.sessions {
		s.conn.Close()
	}
	r.mu.Unlock()
	err := r.front.Close()
	r.running.Wait()
	return err
}

func (r *Relay) serveClients() {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // such as the echo of an answer that a client no longer wanted
		}
		s, err := r.session(from)
		if err != nil {
			continue // no socket to spare: as good as lost
		}
		r.forward(&r.up, buffer[:n], s.conn.Write)
	}
}

// session finds or opens the socket of a client towards the target.
func (r *Relay) session(client netip.AddrPort) (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, net.ErrClosed
	}
	now := time.Now()
	if s := r.sessions[client]; s != nil {
		s.used = now
		return s, nil
	}
	if len(r.sessions) >= maxSessions {
		r.evict()
	}
	var conn *net.UDPConn
	err := r.inside(func() error {
		var err error
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.target))
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &session{conn, now}
	r.sessions[client] = s
	r.running.Go(func() { r.serveTarget(s, client) })
	return s, nil
}

// evict forgets the client that has been silent for longest.
func (r *Relay) evict() {
	var oldest netip.AddrPort
	for client, s := range r.sessions {
		if o := r.sessions[oldest]; o == nil || s.used.Before(o.used) {
			oldest = client
		}
	}
	r.sessions[oldest].conn.Close()
	delete(r.sessions, oldest)
}

// serveTarget forwards the target's answers to one client.
func (r *Relay) serveTarget(s *session, client netip.AddrPort) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := s.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the target's port is unreachable for now
		}
		r.forward(&r.down, buffer[:n], func(b []byte) (int, error) { return r.front.WriteToUDPAddrPort(b, client) })
	}
}

// forward lets a datagram meet its fate.
func (r *Relay) forward(d *direction, payload []byte, send func([]byte) (int, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range d.fault.fate(d.random, payload, &d.counts) {
		if r.closed {
			return
		}
		var t *time.Timer
		t = time.AfterFunc(c.after, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.timers, t)
			if r.closed {
				return
			}
			if _, err := send(c.payload); err == nil {
				d.counts.Delivered++
			}
		})
		r.timers[t] = struct{}{}
	}
}
