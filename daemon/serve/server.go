package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// Section is one address that NTP is served on, and how.
type Section struct {
	Listen  netip.AddrPort
	Where   string        // file and line that ask for it, for messages
	Policy  server.Config // shared by the section's workers
	Workers int           // sockets and goroutines; less than one means one
	// Given are sockets that are bound to the address already, for one worker
	// each. None is opened then, and they stay open when serving ends.
	Given []*os.File
}

// Config is what a Server needs. Everything but Sections is shared by all
// workers.
type Config struct {
	Sections []Section
	Clock    Clock
	Snapshot *atomic.Pointer[server.TimeSnapshot] // nil inside: unsynchronised
	Keys     *atomic.Pointer[cookie.Keyset]       // nil inside: no NTS
	Census   *server.Census                       // of the clients; nil: none
	Entropy  io.Reader                            // cryptographically secure, for goroutines
	Log      *slog.Logger
}

// Server serves NTP on a number of addresses.
type Server struct {
	cfg      Config
	sections []*section
	retry    time.Duration
}

// retryInterval is how often a missing address is looked for.
const retryInterval = time.Second

// New makes a server. Nothing is opened yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, retry: retryInterval}
	for i := range cfg.Sections {
		s.sections = append(s.sections, newSection(cfg.Sections[i], cfg.Sections, cfg.Census))
	}
	return s
}

// Listen binds all addresses. An address that does not exist yet is no error:
// it is said once, and Serve binds it when it appears. The error joins a
// ListenError for every other address that cannot be served; nothing is bound
// then.
func (s *Server) Listen() error {
	var errs []error
	for _, sec := range s.sections {
		err := sec.open()
		switch {
		case err == nil:
		case errors.Is(err, ErrAbsent):
			s.waiting(sec, err)
		default:
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		s.close()
	}
	return errors.Join(errs...)
}

// Serve answers requests until the context ends, and closes the sockets. Call
// it once, after Listen.
func (s *Server) Serve(ctx context.Context) {
	var all sync.WaitGroup
	for _, sec := range s.sections {
		all.Go(func() { s.keep(ctx, sec) })
	}
	all.Wait()
}

// Addrs returns the address that each section is bound to, with the port that
// the system chose where 0 was asked for; the zero value while it waits.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.sections))
	for i, sec := range s.sections {
		addrs[i] = sec.local()
	}
	return addrs
}

// Stats returns what became of the requests to each section, in the order of
// the configuration. It may be called at any time.
func (s *Server) Stats() []server.Stats {
	stats := make([]server.Stats, len(s.sections))
	for i, sec := range s.sections {
		for j := range sec.counters {
			sec.counters[j].AddTo(&stats[i])
		}
	}
	return stats
}

// Drops returns how many requests the kernel dropped for each section since its
// sockets were opened, because the workers did not keep up.
func (s *Server) Drops() []uint64 {
	drops := make([]uint64, len(s.sections))
	for i, sec := range s.sections {
		drops[i] = sec.dropped()
	}
	return drops
}

// Clients returns who asked, whatever address was asked, the most frequent
// first, and the moment that its times count up to. There is nothing without a
// census. It may be called at any time.
func (s *Server) Clients() ([]server.Client, proto.Instant) {
	now := boottime()
	return server.Clients(now, s.tallies()...), now
}

// Distinct returns about how many different clients asked in the last hour; ok
// is false without a census. It may be called at any time.
func (s *Server) Distinct() (n uint64, ok bool) {
	return server.Distinct(boottime(), s.tallies()...), s.cfg.Census != nil
}

func (s *Server) tallies() (all []*server.Tally) {
	for _, sec := range s.sections {
		all = append(all, sec.tallies...)
	}
	return all
}

// keep has a section served until the context ends: it opens its sockets
// whenever they are not, and waits in between.
func (s *Server) keep(ctx context.Context, sec *section) {
	defer context.AfterFunc(ctx, sec.close)()
	defer sec.close()
	for ctx.Err() == nil {
		if sec.isOpen() {
			s.serving(sec)
			err := sec.serve(&s.cfg)
			sec.close()
			if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
				return
			}
			s.cfg.Log.Warn("NTP server socket failed; it is opened again", "code", "server-socket", "listen", sec.Listen.String(), "error", err)
		}
		if !sleep(ctx, s.retry) {
			return
		}
		if err := sec.open(); err != nil {
			s.waiting(sec, err)
		}
	}
}

// serving says that an address is served.
func (s *Server) serving(sec *section) {
	sec.said = ""
	s.cfg.Log.Info("serving NTP", "listen", sec.local().String())
}

// waiting says why an address is not served, once for each reason.
func (s *Server) waiting(sec *section, err error) {
	if text := err.Error(); sec.said != text {
		sec.said = text
		s.cfg.Log.Warn(text+"; waiting for it", "code", "address-missing", "listen", sec.Listen.String())
	}
}

func (s *Server) close() {
	for _, sec := range s.sections {
		sec.close()
	}
}

// sleep waits, and reports false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
