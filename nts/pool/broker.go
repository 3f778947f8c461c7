package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

// mostPicks bounds the sources that are tried for one client: one and three
// more.
const mostPicks = 4

// prepareTimeout bounds what one source may take before keys are sent.
const prepareTimeout = time.Second

// broker finds a source for each client.
type broker struct {
	members atomic.Pointer[[]*member] // in the order of the configuration
	rules   atomic.Pointer[Rules]
	uniform func(uint64) uint64 // a random number below its argument

	strange *slog.Logger // about what a stranger can cause
}

// errNoSource is a request for which no source was found.
var errNoSource = errors.New("no time source could be used")

// result is how one client was answered.
type result struct {
	outcome Outcome
	to      *member // that got the keys, or nil
}

// serve answers one client. The error is for the log; the response is there in
// every case.
func (b *broker) serve(ctx context.Context, q nts.KeyExchange, who asker, export nts.Exporter) (nts.Response, result, error) {
	if !slices.Contains(q.Protocols, nts.NTPv4) {
		return nts.NoOverlap{}, result{outcome: NoOverlap}, nil
	}
	keys := &handover{export: export}
	overlap := true // false once a source answered and had no algorithm in common
	last := errors.New("the client denies all of them")
	draw, legs := b.draw(q, who)
	tried, seen := 0, 0
	for tried < mostPicks && ctx.Err() == nil {
		i, ok := draw.next(b.uniform)
		if !ok {
			break
		}
		leg := legs[i]
		if seen++; seen <= mostPicks {
			b.strange.Info(fmt.Sprintf("checking supported algorithms for '%v'", leg.member.source))
		}
		if draw.candidates[i].health == unusable {
			last = errDown
			if seen >= mostPicks {
				draw.onlyUsable()
			}
			continue
		}
		tried++
		conn, algorithm, err := b.prepare(ctx, leg, q, who, len(draw.left) == 0)
		if errors.Is(err, errNoCommon) {
			overlap, last = false, err
			continue
		}
		if errors.Is(err, errDenied) {
			continue
		}
		if err != nil {
			last = err
			continue
		}
		// From here on this client belongs to this source.
		est, err := b.fetch(ctx, keys, conn, algorithm)
		if err != nil {
			return nts.Failure{Code: nts.InternalServerError}, result{SourceFailed, leg.member}, fmt.Errorf("fetch cookies from %v: %w", leg.member.source, err)
		}
		return rebuild(leg.member, est), result{Served, leg.member}, nil
	}
	// RFC 8915 section 4.1.5: the algorithm record "MUST NOT be empty" if the
	// client offered AES-SIV-CMAC-256 for NTPv4; then it is the sources' fault.
	if !overlap && !firstAlgorithm(q) {
		return nts.NoOverlap{Protocol: []nts.Protocol{nts.NTPv4}}, result{outcome: NoOverlap}, nil
	}
	return nts.Failure{Code: nts.InternalServerError}, result{outcome: NoSource}, fmt.Errorf("%w: %w", errNoSource, last)
}

// draw begins a draw among the sources for a client, with their legs in the
// client's family.
func (b *broker) draw(q nts.KeyExchange, who asker) (*drawing, []*leg) {
	rules, members, now := b.rules.Load(), *b.members.Load(), time.Now()
	out := make([]bool, len(members))
	var owners map[int]bool // of what the client has already
	if len(who.deny) > 0 {
		owners = make(map[int]bool)
		for i, m := range members {
			if out[i] = m.deniedBy(who.deny); out[i] && m.owner != 0 {
				owners[m.owner] = true
			}
		}
	}
	var wished map[string]bool
	if q.Server != "" {
		wished = map[string]bool{nts.CanonicalServer(q.Server): true}
	}
	candidates, legs := make([]candidate, len(members)), make([]*leg, len(members))
	for i, m := range members {
		if legs[i] = m.legs[who.family]; legs[i] == nil {
			out[i] = true
		}
		if out[i] {
			continue
		}
		c := candidate{weight: m.source.Weight, owner: m.owner, known: owners[m.owner], tier: tierOf(who.place, m.place)}
		c.health, c.quality = legs[i].health(now)
		c.wished = wished != nil && m.goesBy(wished)
		candidates[i] = c
	}
	d := newDrawing(candidates, out)
	if who.shard != allShards {
		d.only(func(i int) bool { return shardOf(members[i].source, rules.Shards) == who.shard })
	}
	d.arrange(rules.OwnerPercent)
	return d, legs
}

var (
	// errNoCommon is a source without an algorithm in common with the client.
	errNoCommon = errors.New("no algorithm in common")

	// errDenied is a source that turns out to go by a name that the client
	// denies.
	errDenied = errors.New("the client denies it")

	// errDown is a source that waits to be tried again.
	errDown = errors.New("it does not work at the moment")
)

// prepare does all that can fail before keys are sent: it learns what the
// source supports, picks the algorithm and connects. It may take half of the
// time that is left, so that another source can be tried after it; the last
// one that is left may wait longer for a connection.
func (b *broker) prepare(ctx context.Context, l *leg, q nts.KeyExchange, who asker, last bool) (*upstreamConn, nts.SupportedAlgorithm, error) {
	var none nts.SupportedAlgorithm
	limit := prepareTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, age, err := l.supports(ctx)
	if err != nil {
		return nil, none, err
	}
	algorithm, ok := choose(q, s.algorithms)
	if !ok {
		return nil, none, errNoCommon
	}
	denied, err := l.isDenied(ctx, who)
	if err != nil {
		return nil, none, err
	}
	if denied {
		return nil, none, errDenied
	}
	wait := slotWait
	if last {
		wait = limit
	}
	began := time.Now()
	conn, err := l.take(ctx, who.network, s.dialect, wait)
	if err != nil {
		l.blame(err, time.Since(began))
		return nil, none, err
	}
	b.strange.Info("established connection to the server", "kept", conn.reused)
	b.strange.Info("received supported algorithms from the NTS KE server", "ago", age.Round(time.Second))
	return conn, algorithm, nil
}

// fetch sends the keys to the source of conn, and is done with conn then. Two
// things make it send them again, to the same source: a kept connection that
// the source had closed meanwhile, and a source that refuses the form of the
// request because it now speaks another dialect.
func (b *broker) fetch(ctx context.Context, keys *handover, conn *upstreamConn, algorithm nts.SupportedAlgorithm) (nts.Established, error) {
	l := conn.leg
	committed, err := keys.commit(l.member, algorithm)
	if err != nil {
		conn.close()
		return nts.Established{}, err
	}
	defer committed.discard()
	b.strange.Info("fetching cookies from the NTS KE server")
	began := time.Now()
	l.up.exchanges.Add(1)
	est, err := b.send(ctx, committed, conn)
	if notThisDialect(err) {
		est, err = b.again(ctx, committed, conn, err)
	}
	if err != nil {
		l.up.exchangesFailed.Add(1)
		if !timedOut(err) || time.Since(began) >= patience {
			l.spoiled(err)
		}
		return nts.Established{}, err
	}
	l.worked()
	b.strange.Info("received cookies from the NTS KE server")
	return est, nil
}

// send makes one exchange with the keys, and a second one over a new
// connection if the first was never heard.
func (b *broker) send(ctx context.Context, c *commitment, conn *upstreamConn) (nts.Established, error) {
	began := time.Now()
	est, err := c.send(ctx, conn)
	if err == nil {
		conn.timed(time.Since(began))
		conn.done(est.KeepAlive)
		return est, nil
	}
	if !conn.stale(err) {
		conn.close()
		return nts.Established{}, err
	}
	conn.ke.Close() // its slot is for the next
	l := conn.leg
	if conn, err = l.dial(ctx, conn.dialect); err != nil {
		l.slots.Pass()
		return nts.Established{}, err
	}
	if est, err = c.send(ctx, conn); err != nil {
		conn.close()
		return nts.Established{}, err
	}
	conn.done(est.KeepAlive)
	return est, nil
}

// again repeats a request that the source refused, if the source meanwhile
// speaks another dialect: its operator changed the program.
func (b *broker) again(ctx context.Context, c *commitment, refused *upstreamConn, cause error) (nts.Established, error) {
	l := refused.leg
	l.forget()
	s, _, err := l.supports(ctx)
	if err != nil || s.dialect == refused.dialect || !slices.Contains(s.algorithms, c.algorithm) {
		return nts.Established{}, cause
	}
	conn, err := l.take(ctx, refused.network, s.dialect, prepareTimeout)
	if err != nil {
		return nts.Established{}, err
	}
	return b.send(ctx, c, conn)
}

// rebuild makes the client's answer out of what was understood of the
// source's; nothing is copied through. The answer always names the server:
// without a Server record the client would take the pool itself for it. Record
// 1024 is between the client and the pool, who take the keys out of their TLS
// connection.
func rebuild(m *member, est nts.Established) nts.Established {
	answer := nts.Established{
		Protocol: est.Protocol, Algorithm: est.Algorithm, Cookies: est.Cookies,
		Server: est.Server, Port: est.Port,
		CompliantGCMSIV: est.Algorithm == nts.AES128GCMSIV,
	}
	if answer.Server == "" {
		answer.Server = m.source.Domain
	}
	m.learn(answer.Server)
	return answer
}
