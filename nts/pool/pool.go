package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
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

	Sources []Source // at least one; SetSources changes them
	Rules   Rules    // SetRules changes them

	// Timeout bounds a client's whole exchange, what the sources need
	// included; DefaultTimeout if 0.
	Timeout time.Duration

	// Connections bounds the clients that are connected at once;
	// DefaultConnections if 0.
	Connections int

	// Handshakes bounds those that are computed at once; as many as there are
	// processors if 0.
	Handshakes int

	// Balancers are the addresses from which connections begin with a header of
	// the PROXY protocol, version 2.
	Balancers []netip.Prefix

	// Uniform draws a number below its argument, each with the same
	// probability; nil draws at random.
	Uniform func(uint64) uint64

	// Access is told of every connection of a client when it ends; it must not
	// block. Nil tells nobody.
	Access func(Access)

	// Log is for what the operator must know. Strange is for what any
	// stranger can cause by connecting, and should be limited; nil is Log.
	Log, Strange *slog.Logger
}

// Defaults of the limits. Clients in use give up after 5 s.
const (
	DefaultTimeout     = 4500 * time.Millisecond
	DefaultConnections = 20000
)

// Parts of a client's exchange: at least this long, and as large a part of a
// longer Timeout as of the default.
const (
	handshakeTimeout = 3 * time.Second
	requestTimeout   = 2 * time.Second
	turnPatience     = time.Second // within that of the handshake
)

func part(timeout, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(timeout)*(float64(least)/float64(DefaultTimeout))))
}

// warmingPause is the time between the first questions to two sources, and
// warmingMost what all of them may take together.
const (
	warmingPause = 10 * time.Millisecond
	warmingMost  = 10 * time.Second
)

// Pool is a running pool.
type Pool struct {
	front    ke.Front
	door     *ke.Fair
	broker   broker
	repeats  *repeats
	upstream *upstream
	families []family
	end      func() // of upstream.life
	log      *slog.Logger
	access   func(Access)
	started  time.Time

	mu      sync.Mutex
	serving bool
	tended  map[*member]func() // what ends the tending
	owners  map[string]int     // a number for each owner that there ever was
}

// ErrNoSources is a pool without time sources.
var ErrNoSources = errors.New("a pool needs at least one time source")

// New makes a pool; Serve runs it.
func New(config Config) (*Pool, error) {
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Connections <= 0 {
		config.Connections = DefaultConnections
	}
	if config.Handshakes <= 0 {
		config.Handshakes = runtime.GOMAXPROCS(0)
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
	if config.Uniform == nil {
		config.Uniform = fileOrderFirst()
	}
	life, end := context.WithCancel(context.Background())
	p := &Pool{
		log: config.Log, end: end, repeats: newRepeats(),
		started: time.Now(), access: config.Access,
		upstream: &upstream{counters: new(counters), client: config.Client, roots: config.Roots, log: config.Log, life: life},
		tended:   make(map[*member]func()),
		owners:   make(map[string]int),
	}
	p.broker.uniform, p.broker.strange = config.Uniform, config.Strange
	p.SetRules(config.Rules)
	if err := p.SetSources(config.Sources); err != nil {
		end()
		return nil, err
	}
	p.families = served(config.Listener.Addr(), len(config.Balancers) > 0)
	listener := config.Listener
	if len(config.Balancers) > 0 {
		listener = newProxied(listener, config.Balancers, p.unproxied)
	}
	p.door = ke.NewFair(listener, config.Connections, p.shed)
	p.door.Turns = ke.NewTurns(config.Handshakes, part(config.Timeout, turnPatience))
	p.front = ke.Front{
		Listener: p.door,
		TLS:      config.TLS,
		Timeout:  config.Timeout, Handshake: part(config.Timeout, handshakeTimeout), Request: part(config.Timeout, requestTimeout),
		Drain: config.Timeout,
		// The listener bounds them, and turns away rather than lets wait.
		Connections: config.Connections + 1,
		Turns:       p.door.Turns,
		Outcome:     p.outcome, Handle: p.handle,
	}
	return p, nil
}

// fileOrderFirst draws at random, but the first number is 0: the first client
// after a start goes to the first source of the file, and whoever tries out a
// pool sees what the file says.
func fileOrderFirst() func(uint64) uint64 {
	var later atomic.Bool
	return func(n uint64) uint64 {
		if later.CompareAndSwap(false, true) {
			return 0
		}
		return rand.Uint64N(n)
	}
}

// SetSources changes the sources. What is known about those that stay is kept,
// and so are their connections if nothing about them changes; clients that are
// being served do not notice. A source that is named twice counts once.
func (p *Pool) SetSources(sources []Source) error {
	if len(sources) == 0 {
		return ErrNoSources
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := make(map[string]*member)
	if old := p.broker.members.Load(); old != nil {
		for _, m := range *old {
			before[m.source.String()] = m
		}
	}
	var members []*member
	seen := make(map[string]bool)
	for _, s := range sources {
		if seen[s.String()] {
			continue
		}
		seen[s.String()] = true
		m := before[s.String()]
		switch {
		case m == nil:
			m = p.newMember(s)
		case !m.source.same(s):
			old := m
			m = p.newMember(s)
			m.inherit(old)
		}
		members = append(members, m)
	}
	p.broker.members.Store(&members)
	p.tend(members)
	return nil
}

// newMember makes a member. The caller holds the lock.
func (p *Pool) newMember(s Source) *member {
	m := newMember(s, p.upstream)
	if s.Owner != "" {
		if p.owners[s.Owner] == 0 {
			p.owners[s.Owner] = len(p.owners) + 1
		}
		m.owner = p.owners[s.Owner]
	}
	return m
}

// SetRules changes the rules of selection, for clients that come from now on.
func (p *Pool) SetRules(r Rules) { p.broker.rules.Store(&r) }

// Connected is how many clients are connected.
func (p *Pool) Connected() int { return p.door.Connected() }

// Renew makes the pool connect to all sources anew, because the certificates
// have changed.
func (p *Pool) Renew() {
	for _, m := range *p.broker.members.Load() {
		for _, l := range m.legs {
			if l != nil {
				l.renew()
			}
		}
	}
}

// tend begins to tend new members and stops tending those that have gone. The
// caller holds the lock.
func (p *Pool) tend(members []*member) {
	if !p.serving {
		return
	}
	stay := make(map[*member]bool)
	pause := min(warmingPause, warmingMost/time.Duration(len(members)))
	for i, m := range members {
		stay[m] = true
		if p.tended[m] != nil {
			continue
		}
		ctx, stop := context.WithCancel(p.upstream.life)
		p.tended[m] = stop
		for _, f := range p.families {
			if l := m.legs[f]; l != nil {
				p.upstream.running.Go(func() { l.tend(ctx, time.Duration(i+1)*pause) })
			}
		}
	}
	for m, stop := range p.tended {
		if stay[m] {
			continue
		}
		stop()
		delete(p.tended, m)
		m.retire()
	}
}

// Serve serves clients until ctx ends, then finishes the exchanges that run
// and closes the connections to the sources. It can be called once.
func (p *Pool) Serve(ctx context.Context) error {
	p.log.Info(fmt.Sprintf("listening on '%v'", p.front.Listener.Addr()))
	p.mu.Lock()
	p.serving = true
	p.tend(*p.broker.members.Load())
	p.mu.Unlock()

	err := p.front.Serve(ctx)
	p.mu.Lock()
	p.serving = false
	p.mu.Unlock()
	p.end()
	for _, m := range *p.broker.members.Load() {
		m.retire()
	}
	p.upstream.running.Wait()
	return err
}

// shed logs that the pool has no room.
func (p *Pool) shed(client netip.AddrPort) {
	from := client.Addr()
	p.count(Shed, from, "", 0)
	p.broker.strange.Warn("too many connections; some are turned away", "code", "pool-busy")
	p.broker.strange.Debug("NTS Pool KE turned a connection away", "source_address", from)
}

// unproxied logs that a balancer did not say whom it stands for.
func (p *Pool) unproxied(from netip.Addr) {
	p.count(BadProxyHeader, from, "", 0)
	p.broker.strange.Warn("a connection from a listed balancer did not begin with a header of the PROXY protocol, version 2", "code", "pool-proxy-header", "balancer", from)
}

// outcome logs what happens before a client has sent its request.
func (p *Pool) outcome(o ke.Outcome) {
	if o.Kind == ke.AcceptFailed {
		p.log.Warn("cannot accept connections for the moment", "code", "pool-accept", "error", o.Detail)
		return
	}
	if o.Kind == ke.Shed {
		p.shed(o.Remote)
		return
	}
	p.count(outcomeOf(o.Kind), o.Remote.Addr(), "", 0)
	if o.Kind == ke.Panicked {
		p.broker.strange.Error("a fault of this program ended a connection; please report it", "code", "fault", "source_address", o.Remote, "detail", o.Detail)
		return
	}
	p.broker.strange.Debug("NTS Pool KE failed", "source_address", o.Remote, "reason", o.Kind, "detail", o.Detail)
}

// handle serves one client.
func (p *Pool) handle(ctx context.Context, peer *ke.Peer) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), peer.Deadline())
	defer cancel()
	log := p.broker.strange
	began, from := time.Now(), peer.Remote().Addr()

	resp, how, err := p.respond(ctx, peer)
	if err != nil {
		log.Debug("NTS Pool KE failed", "source_address", peer.Remote(), "error", err)
	}
	if how.outcome == NoSource {
		log.Warn("could not find a valid KE server", "code", "pool-no-server", "error", err)
	}
	msg, err := nts.AppendResponse(nil, resp)
	if err != nil { // what was decoded can be encoded
		msg, _ = nts.AppendError(nil, nts.InternalServerError)
	}
	if err := peer.Answer(msg); err != nil {
		log.Debug("NTS Pool KE failed", "source_address", peer.Remote(), "error", err)
		how.outcome = ClientLeft
	}
	source := ""
	if how.to != nil {
		source = how.to.source.String()
	}
	p.count(how.outcome, from, source, time.Since(began))
	if how.outcome == Served {
		log.Info("wrote records for client")
		log.Debug("NTS Pool KE completed", "source_address", peer.Remote())
	}
}

func (p *Pool) respond(ctx context.Context, peer *ke.Peer) (nts.Response, result, error) {
	msg, err := peer.ReadRequest()
	if err != nil {
		how := result{outcome: BadRequest}
		if ke.RefusalOf(err) == ke.RequestTimeout {
			how.outcome = RequestTimeout
		}
		return nts.Failure{Code: nts.BadRequest}, how, fmt.Errorf("%v: %w", ke.RefusalOf(err), err)
	}
	p.broker.strange.Info("received records from the client")
	// Nobody may speak to a pool as a pool: its privileged records do not
	// exist here.
	req, err := nts.DecodeRequest(msg, nil)
	if err != nil {
		how := result{outcome: BadRequest}
		if nts.CodeOf(err) == nts.UnrecognizedCriticalRecord {
			how.outcome = Unrecognized
		}
		return nts.Failure{Code: nts.CodeOf(err)}, how, err
	}
	q, ok := req.(nts.KeyExchange)
	if !ok {
		return nts.Failure{Code: nts.BadRequest}, result{outcome: BadRequest}, fmt.Errorf("unexpected request %T", req)
	}
	q.Deny = q.Deny[:min(len(q.Deny), mostDenied)]
	from := peer.Remote().Addr()
	if p.repeats.excessive(from, q, time.Now()) {
		return nts.Failure{Code: nts.InternalServerError}, result{outcome: Repeated}, errRepeated
	}
	return p.broker.serve(ctx, q, p.broker.rules.Load().asker(from, peer.ServerName(), q), peer.Export)
}

// Rehearse does for a client that exists in this process only what the pool
// does for one that connects: all but its connection. It shows what the sources
// take, and whether they work. The error is nil if a source gave cookies for the
// keys.
func (p *Pool) Rehearse(ctx context.Context, q nts.KeyExchange, keys nts.Exporter) error {
	resp, _, err := p.broker.serve(ctx, q, asker{family: p.families[0], shard: allShards}, keys)
	if err != nil {
		return err
	}
	if _, ok := resp.(nts.Established); !ok {
		return fmt.Errorf("the pool would answer with %v", resp)
	}
	return nil
}

// errRepeated is a client that asks the same again and again.
var errRepeated = errors.New("the same servers are denied too often")
