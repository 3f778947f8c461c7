package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Config is what a pool needs.
type Config struct {
	Listener net.Listener

	// TLS gives the configuration for the next client, with the certificate
	// of the moment.
	TLS func() *tls.Config

	// Roots gives the authorities that may vouch for time sources; nil, or a
	// nil result, are the system's.
	Roots func() *x509.CertPool

	// Client connects to time sources. Its Certificate makes the pool known
	// to sources that authorise one.
	Client *ke.Client

	Sources []Source // at least one

	// Timeout bounds a client's whole exchange, what the sources need
	// included; ke.DefaultTimeout if 0.
	Timeout time.Duration

	// Connections bounds the clients that are served at once;
	// ke.DefaultConnections if 0.
	Connections int

	// Log is for what the operator must know. Strange is for what any
	// stranger can cause by connecting, and should be limited; nil is Log.
	Log, Strange *slog.Logger
}

// Pool is a running pool.
type Pool struct {
	front  ke.Front
	broker broker
	log    *slog.Logger
}

// ErrNoSources is a pool without time sources.
var ErrNoSources = errors.New("a pool needs at least one time source")

// New makes a pool; Serve runs it.
func New(config Config) (*Pool, error) {
	if len(config.Sources) == 0 {
		return nil, ErrNoSources
	}
	if config.Timeout <= 0 {
		config.Timeout = ke.DefaultTimeout
	}
	if config.Connections <= 0 {
		config.Connections = ke.DefaultConnections
	}
	if config.Strange == nil {
		config.Strange = config.Log
	}
	if config.Roots == nil {
		config.Roots = func() *x509.CertPool { return nil }
	}
	if config.Client == nil {
		config.Client = new(ke.Client)
	}
	var turns atomic.Uint64
	p := &Pool{
		log: config.Log,
		broker: broker{
			upstream: upstream{client: config.Client, roots: config.Roots},
			turn:     func() uint64 { return turns.Add(1) - 1 },
			log:      config.Log,
			strange:  config.Strange,
		},
	}
	for _, s := range config.Sources {
		p.broker.members = append(p.broker.members, &member{source: s})
	}
	p.front = ke.Front{
		Listener: config.Listener, TLS: config.TLS,
		Timeout: config.Timeout, Connections: config.Connections,
		Outcome: p.outcome, Handle: p.handle,
	}
	return p, nil
}

// Serve serves clients until ctx ends, then finishes the exchanges that run.
func (p *Pool) Serve(ctx context.Context) error {
	p.log.Info(fmt.Sprintf("listening on '%v'", p.front.Listener.Addr()))
	return p.front.Serve(ctx)
}

// outcome logs what happens before a client has sent its request.
func (p *Pool) outcome(o ke.Outcome) {
	if o.Kind == ke.AcceptFailed {
		p.log.Warn("cannot accept connections for the moment", "error", o.Detail)
		return
	}
	p.broker.strange.Debug("NTS Pool KE failed", "source_address", o.Remote, "reason", o.Kind, "detail", o.Detail)
}

// handle serves one client.
func (p *Pool) handle(ctx context.Context, peer *ke.Peer) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), peer.Deadline())
	defer cancel()
	log := p.broker.strange

	resp, err := p.respond(ctx, peer)
	if err != nil {
		log.Debug("NTS Pool KE failed", "source_address", peer.Remote(), "error", err)
	}
	if errors.Is(err, errNoSource) {
		log.Warn("could not find a valid KE server", "error", err)
	}
	msg, err := nts.AppendResponse(nil, resp)
	if err != nil { // what was decoded can be encoded
		msg, _ = nts.AppendError(nil, nts.InternalServerError)
	}
	if err := peer.Answer(msg); err != nil {
		log.Debug("NTS Pool KE failed", "source_address", peer.Remote(), "error", err)
		return
	}
	if _, ok := resp.(nts.Established); ok {
		log.Info("wrote records for client")
		log.Debug("NTS Pool KE completed", "source_address", peer.Remote())
	}
}

func (p *Pool) respond(ctx context.Context, peer *ke.Peer) (nts.Response, error) {
	msg, err := peer.ReadRequest()
	if err != nil {
		return nts.Failure{Code: nts.BadRequest}, fmt.Errorf("%v: %w", ke.RefusalOf(err), err)
	}
	p.broker.strange.Info("received records from the client")
	// Nobody may speak to a pool as a pool: its privileged records do not
	// exist here.
	req, err := nts.DecodeRequest(msg, nil)
	if err != nil {
		return nts.Failure{Code: nts.CodeOf(err)}, err
	}
	q, ok := req.(nts.KeyExchange)
	if !ok {
		return nts.Failure{Code: nts.BadRequest}, fmt.Errorf("unexpected request %T", req)
	}
	return p.broker.serve(ctx, q, peer.Export)
}
