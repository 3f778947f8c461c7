package ke

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// DefaultIdle is how long a pool's kept connection may rest.
const DefaultIdle = 5 * time.Minute

// ServerConfig is all that a Server gets. Everything in it but the listener is
// a value or a func over values, so that a server can run in a process of its
// own with a pipe for the funcs.
type ServerConfig struct {
	Listener net.Listener

	// TLS gives the configuration for the next connection, with the
	// certificate of the moment.
	TLS func() *tls.Config

	// Seal gives what seals cookies with the cookie key of the moment. It is
	// asked for every request, on a kept connection too, and the server never
	// sees older keys.
	Seal func() nts.Sealer

	// Authorise knows the pools that are served; nil is nobody.
	Authorise *Authoriser

	// Outcome is told what happens; it must not block. Nil tells nobody.
	Outcome func(Outcome)

	// NTPServer and NTPPort are for the Server and Port records; zero values
	// leave the record out.
	NTPServer string
	NTPPort   uint16

	// Timeout bounds one exchange, DefaultTimeout if 0.
	Timeout time.Duration

	// ConcurrentConnections bounds open connections, DefaultConnections if 0.
	ConcurrentConnections int

	// Handshakes bounds those that are computed at once; as many as there are
	// processors if 0.
	Handshakes int

	// LongLivedConnections bounds those of them that pools keep open, a tenth
	// of ConcurrentConnections if negative.
	LongLivedConnections int

	// Idle bounds the rest between two requests of a kept connection,
	// DefaultIdle if 0.
	Idle time.Duration
}

// Server is a key-exchange server.
type Server struct {
	config ServerConfig
	self   nts.Server
	kept   chan struct{} // holds one value per kept connection
}

// NewServer makes a server; Serve runs it.
func NewServer(config ServerConfig) *Server {
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	if config.ConcurrentConnections <= 0 {
		config.ConcurrentConnections = DefaultConnections
	}
	if config.Handshakes <= 0 {
		config.Handshakes = runtime.GOMAXPROCS(0)
	}
	if config.LongLivedConnections < 0 {
		config.LongLivedConnections = config.ConcurrentConnections / 10
	}
	if config.Idle <= 0 {
		config.Idle = DefaultIdle
	}
	if config.Outcome == nil {
		config.Outcome = func(Outcome) {}
	}
	return &Server{
		config: config,
		self:   nts.Server{NTPServer: config.NTPServer, NTPPort: config.NTPPort},
		kept:   make(chan struct{}, config.LongLivedConnections),
	}
}

// Serve serves until ctx ends, then finishes the exchanges that run. It
// returns an error only if the listener was closed by somebody else.
func (s *Server) Serve(ctx context.Context) error {
	shed := func(from netip.AddrPort) { s.config.Outcome(Outcome{Kind: Shed, Remote: from}) }
	door := NewFair(s.config.Listener, s.config.ConcurrentConnections, shed)
	// Who waits longer has no time left for the exchange.
	door.Turns = NewTurns(s.config.Handshakes, s.config.Timeout/2)
	front := Front{
		Listener: door,
		Turns:    door.Turns,
		TLS:      s.config.TLS,
		Timeout:  s.config.Timeout,
		// Clients wait while all places are taken. The listener sees to it that
		// one network does not take all of them.
		Connections: s.config.ConcurrentConnections,
		Outcome:     s.config.Outcome,
		Handle:      s.handle,
	}
	if s.config.Authorise.WantsCertificates() {
		front.Leaf = s.config.Authorise.Leaf
	}
	return front.Serve(ctx)
}

// handle serves the requests of one connection: one, or several of a pool.
func (s *Server) handle(ctx context.Context, p *Peer) {
	kept := false
	defer func() {
		if kept {
			<-s.kept
		}
	}()
	for {
		if stay := s.exchange(p, &kept); !stay {
			break
		}
		if !p.Await(ctx, s.config.Idle) {
			s.report(KeepAliveEnded, p, nil)
			break
		}
	}
}

// exchange answers one request and reports whether the connection stays. It
// sets kept once the connection holds one of the places for kept connections.
func (s *Server) exchange(p *Peer, kept *bool) (stay bool) {
	msg, err := p.ReadRequest()
	if err != nil {
		s.refuse(p, nts.BadRequest, RefusalOf(err), err)
		return false
	}
	defer clear(msg) // it may hold keys
	req, err := nts.DecodeRequest(msg, func(token nts.Secret) bool {
		if token == nil {
			return s.config.Authorise.Leaf(p.Leaf)
		}
		return s.config.Authorise.Token(token)
	})
	if err != nil {
		code := nts.CodeOf(err)
		_, answer := nts.AppendError(nil, code)
		s.refuse(p, code, kindOf(answer), err)
		return false
	}
	if fixed, ok := req.(nts.FixedKey); ok {
		defer fixed.C2S.Clear()
		defer fixed.S2C.Clear()
	}
	reused := *kept
	grant := nts.WantsKeepAlive(req) && s.keep(p, kept)
	out, answer, err := s.self.Respond(nil, req, nts.Session{
		Export: p.Export, Seal: s.config.Seal(), KeepAlive: grant, Reused: reused,
	})
	if werr := p.Answer(out); werr != nil {
		s.report(WriteFailed, p, werr)
		return false
	}
	s.report(kindOf(answer), p, err)
	switch answer {
	case nts.AnsweredFixedKey, nts.AnsweredInformation, nts.AnsweredNames:
		return grant
	default:
		return false
	}
}

// keep finds a place among the kept connections, unless the connection has one.
func (s *Server) keep(p *Peer, kept *bool) bool {
	if *kept {
		return true
	}
	select {
	case s.kept <- struct{}{}:
		*kept = true
		return true
	default:
		s.report(KeepAliveRefused, p, nil)
		return false
	}
}

func (s *Server) refuse(p *Peer, code nts.ErrorCode, kind Kind, cause error) {
	out, _ := nts.AppendError(nil, code)
	if err := p.Answer(out); err != nil {
		s.report(WriteFailed, p, cause)
		return
	}
	s.report(kind, p, cause)
}

func (s *Server) report(kind Kind, p *Peer, cause error) {
	o := Outcome{Kind: kind, Remote: p.Remote()}
	if cause != nil {
		o.Detail = cause.Error()
	}
	s.config.Outcome(o)
}
