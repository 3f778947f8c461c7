package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// mostPicks bounds the sources that are tried for one client: one and three
// more.
const mostPicks = 4

// broker finds a source for each client.
type broker struct {
	members  []*member
	upstream upstream
	turn     func() uint64 // 0, 1, 2, ...

	log     *slog.Logger // about sources
	strange *slog.Logger // about what a stranger can cause
}

// errNoSource is a request for which no source was found.
var errNoSource = errors.New("could not find a valid KE server")

// serve answers one client. The error is for the log; the response is there in
// every case.
func (b *broker) serve(ctx context.Context, q nts.KeyExchange, export nts.Exporter) (nts.Response, error) {
	if !slices.Contains(q.Protocols, nts.NTPv4) {
		return nts.NoOverlap{}, nil
	}
	keys := &handover{export: export}
	overlap := true // false once a source answered and had no algorithm in common
	var last error

	picks := b.order(q)
	for _, m := range picks[:min(len(picks), mostPicks)] {
		conn, algorithm, err := b.prepare(ctx, m, q)
		if errors.Is(err, errNoCommon) {
			overlap, last = false, err
			continue
		}
		if err != nil {
			b.failed(m, err)
			last = err
			if ctx.Err() != nil {
				break
			}
			continue
		}
		// From here on this client belongs to this source.
		est, err := b.fetch(ctx, keys, conn, algorithm)
		if err != nil {
			b.failed(m, err)
			return nts.Failure{Code: nts.InternalServerError}, fmt.Errorf("fetch cookies from %v: %w", m.source, err)
		}
		b.worked(m)
		return rebuild(m, est), nil
	}
	// RFC 8915 section 4.1.5: the algorithm record "MUST NOT be empty" if the
	// client offered AES-SIV-CMAC-256 for NTPv4; then it is the sources' fault.
	if !overlap && !slices.Contains(q.Algorithms, aead.AESSIVCMAC256) {
		return nts.NoOverlap{Protocol: []nts.Protocol{nts.NTPv4}}, nil
	}
	if last == nil {
		return nts.Failure{Code: nts.InternalServerError}, fmt.Errorf("%w: the client denies all of them", errNoSource)
	}
	return nts.Failure{Code: nts.InternalServerError}, fmt.Errorf("%w: %w", errNoSource, last)
}

func (b *broker) order(q nts.KeyExchange) []*member {
	now := time.Now()
	candidates := make([]candidate, len(b.members))
	for i, m := range b.members {
		candidates[i] = m.candidate(now)
	}
	var picks []*member
	for _, i := range order(candidates, b.turn(), q) {
		picks = append(picks, b.members[i])
	}
	return picks
}

// errNoCommon is a source without an algorithm in common with the client.
var errNoCommon = errors.New("no algorithm in common")

// prepare does all that can fail before keys are sent: it learns what the
// source supports, picks the algorithm and connects. It may take half of the
// time that is left, so that another source can be tried after it.
func (b *broker) prepare(ctx context.Context, m *member, q nts.KeyExchange) (*upstreamConn, nts.SupportedAlgorithm, error) {
	var none nts.SupportedAlgorithm
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	b.strange.Info(fmt.Sprintf("checking supported algorithms for '%v'", m.source))
	asked := false
	s, err := m.supports(ctx, func(ctx context.Context) (support, error) {
		asked = true
		return b.upstream.ask(ctx, m, b.progress)
	})
	if err != nil {
		return nil, none, err
	}
	algorithm, ok := choose(q.Algorithms, s.algorithms)
	if !ok {
		return nil, none, errNoCommon
	}
	conn, err := b.upstream.connect(ctx, m, s.dialect)
	if err != nil {
		return nil, none, err
	}
	if !asked {
		b.progress("established connection to the server")
	}
	return conn, algorithm, nil
}

// progress logs a step on the way to a client's answer. That a client can
// cause it makes it the business of the limited log.
func (b *broker) progress(step string) { b.strange.Info(step) }

// fetch sends the keys to the source of conn, and closes conn. A source that
// refuses the form of the request may be asked again in another dialect: it is
// the same source, and has seen the keys.
func (b *broker) fetch(ctx context.Context, keys *handover, conn *upstreamConn, algorithm nts.SupportedAlgorithm) (nts.Established, error) {
	m := conn.member
	committed, err := keys.commit(m, algorithm)
	if err != nil {
		conn.close()
		return nts.Established{}, err
	}
	defer committed.discard()
	b.progress("fetching cookies from the NTS KE server")
	est, err := committed.send(ctx, conn)
	conn.close()
	if notThisDialect(err) {
		est, err = b.again(ctx, committed, conn.dialect, err)
	}
	if err != nil {
		return nts.Established{}, err
	}
	b.progress("received cookies from the NTS KE server")
	return est, nil
}

// again repeats a request that the source refused, if the source meanwhile
// speaks another dialect: its operator changed the program.
func (b *broker) again(ctx context.Context, c *commitment, refused nts.Dialect, cause error) (nts.Established, error) {
	c.to.forget()
	s, err := c.to.supports(ctx, func(ctx context.Context) (support, error) {
		return b.upstream.ask(ctx, c.to, b.progress)
	})
	if err != nil || s.dialect == refused || !slices.Contains(s.algorithms, c.algorithm) {
		return nts.Established{}, cause
	}
	conn, err := b.upstream.connect(ctx, c.to, s.dialect)
	if err != nil {
		return nts.Established{}, err
	}
	defer conn.close()
	return c.send(ctx, conn)
}

// rebuild makes the client's answer out of what was understood of the
// source's; nothing is copied through. The answer always names the server:
// without a Server record the client would take the pool itself for it.
func rebuild(m *member, est nts.Established) nts.Established {
	answer := nts.Established{
		Protocol: est.Protocol, Algorithm: est.Algorithm, Cookies: est.Cookies,
		Server: est.Server, Port: est.Port,
	}
	if answer.Server == "" {
		answer.Server = m.source.Domain
	}
	m.learn(answer.Server)
	return answer
}

func (b *broker) failed(m *member, err error) {
	if m.failed(time.Now()) {
		b.log.Info("time source does not work", "source", m.source.String(), "error", err)
	}
}

func (b *broker) worked(m *member) {
	if m.succeeded() {
		b.log.Info("time source works again", "source", m.source.String())
	}
}
