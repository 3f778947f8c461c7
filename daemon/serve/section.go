package serve

import (
	"net/netip"
	"os"
	"sync"

	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// section is one address with its sockets, of which there is one for each
// worker, or none while the address cannot be bound.
type section struct {
	Section
	only6    bool // IPv4 on this port is another section's
	counters []server.Counters
	tallies  []*server.Tally // one for each worker; nil without a census
	said     string          // why it is not served, as said last

	mu      sync.Mutex
	sockets []*netio.ServerSocket
}

func newSection(cfg Section, all []Section, census *server.Census) *section {
	cfg.Workers = max(cfg.Workers, 1)
	if len(cfg.Given) > 0 {
		cfg.Workers = len(cfg.Given)
	}
	s := &section{Section: cfg, counters: make([]server.Counters, cfg.Workers), tallies: make([]*server.Tally, cfg.Workers)}
	for i := range s.tallies {
		if census != nil {
			s.tallies[i] = census.Tally()
		}
	}
	for i := range all {
		other := all[i].Listen
		s.only6 = s.only6 || other.Port() == cfg.Listen.Port() && other.Addr().Unmap() == netip.IPv4Unspecified()
	}
	return s
}

// open binds the sockets; the error is a ListenError.
func (s *section) open() error {
	if len(s.Given) > 0 {
		return s.adopt()
	}
	cfg := netio.ServerConfig{Listen: s.Listen, IPv6Only: s.only6}
	first, err := netio.OpenServer(cfg)
	if err != nil {
		return listenError(&s.Section, err)
	}
	sockets := []*netio.ServerSocket{first}
	if s.Workers > 1 {
		// Sockets that share a port would also share it with a daemon that is
		// running already. The first one showed that there is none.
		cfg.Listen, cfg.Shared = first.Local(), true
		_ = first.Close()
		sockets, err = openShared(cfg, s.Workers)
		if err != nil {
			return listenError(&s.Section, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = sockets
	return nil
}

// adopt takes duplicates of the sockets that were given.
func (s *section) adopt() error {
	var sockets []*netio.ServerSocket
	for _, f := range s.Given {
		one, err := netio.AdoptServer(f)
		if err != nil {
			closeAll(sockets)
			return listenError(&s.Section, err)
		}
		sockets = append(sockets, one)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = sockets
	return nil
}

// openShared opens n sockets on one address and port, or none.
func openShared(cfg netio.ServerConfig, n int) (sockets []*netio.ServerSocket, err error) {
	for range n {
		one, err := netio.OpenServer(cfg)
		if err != nil {
			closeAll(sockets)
			return nil, err
		}
		sockets = append(sockets, one)
	}
	return sockets, nil
}

func closeAll(sockets []*netio.ServerSocket) {
	for _, one := range sockets {
		_ = one.Close()
	}
}

// serve runs the workers and returns the first error, when all have ended.
func (s *section) serve(cfg *Config) error {
	s.mu.Lock()
	sockets := s.sockets
	s.mu.Unlock()
	if len(sockets) == 0 {
		return os.ErrClosed
	}
	errs := make(chan error, len(sockets))
	for i, one := range sockets {
		w := newWorker(one, s.Policy, &s.counters[i], s.tallies[i], cfg)
		go func() { errs <- w.run() }()
	}
	first := <-errs
	closeAll(sockets)
	for range len(sockets) - 1 {
		<-errs
	}
	return first
}

func (s *section) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets) > 0
}

// local is the address that is bound, or the zero value.
func (s *section) local() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sockets) == 0 {
		return netip.AddrPort{}
	}
	return s.sockets[0].Local()
}

// dropped is how many requests the kernel dropped.
func (s *section) dropped() (sum uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sockets {
		sum += uint64(one.Dropped())
	}
	return sum
}

// close closes the sockets, which ends their workers.
func (s *section) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeAll(s.sockets)
	s.sockets = nil
}
