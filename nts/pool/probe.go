package pool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// probe finds out what the source supports, in whichever dialect it
// understands. An Error record ends the connection, so that each dialect takes
// a new one.
func (l *leg) probe(ctx context.Context) (support, error) {
	var err error
	for range dialects {
		d := l.member.dialect()
		var s support
		if s, err = l.probeIn(ctx, d); err == nil {
			return s, nil
		}
		if !notThisDialect(err) {
			return support{}, err
		}
		l.member.otherDialect(d)
	}
	return support{}, fmt.Errorf("it serves no pool, or does not take this pool's token or certificate; compare accepted-pool-authentication-tokens there: %w", err)
}

func (l *leg) probeIn(ctx context.Context, d nts.Dialect) (support, error) {
	// The first generation has no list of protocols; it serves NTPv4.
	question := nts.Information{
		Dialect: d, Token: l.member.source.Token, KeepAlive: d != nts.ClientCertificate,
		Protocols: d != nts.ClientCertificate, Algorithms: true,
	}
	resp, err := l.question(ctx, d, question, nts.DecodeSupported)
	if err != nil {
		return support{}, err
	}
	supported, ok := resp.(nts.Supported)
	if !ok {
		return support{}, fmt.Errorf("unexpected answer %T", resp)
	}
	if supported.Algorithms == nil {
		return support{}, fmt.Errorf("%v did not say which algorithms it supports", l.member.source)
	}
	return usable(d, question, supported), nil
}

// usable is what a pool that brokers NTPv4 can use of what a source supports.
func usable(d nts.Dialect, q nts.Information, a nts.Supported) support {
	s := support{dialect: d}
	if !q.Protocols || slices.Contains(a.Protocols, nts.NTPv4) {
		s.algorithms = a.Algorithms
	}
	return s
}

// ourselves is the network of questions of our own, which take turns with those
// of clients.
var ourselves netip.Prefix

// question asks the source something that holds no keys. A kept connection
// that turns out to be dead is replaced, once.
func (l *leg) question(ctx context.Context, d nts.Dialect, q nts.Request, decode func([]byte) (nts.Response, error)) (nts.Response, error) {
	request, err := nts.AppendRequest(nil, q)
	if err != nil {
		return nil, err
	}
	defer clear(request) // it may hold a token
	l.up.questions.Add(1)
	failed := true
	defer func() {
		if failed {
			l.up.questionsFailed.Add(1)
		}
	}()
	for again := true; ; again = false {
		conn, err := l.take(ctx, ourselves, d, askTimeout)
		if err != nil {
			return nil, err
		}
		answer, err := conn.ke.RoundTrip(ctx, request)
		if err != nil {
			conn.close()
			if again && conn.stale(err) {
				continue
			}
			return nil, err
		}
		resp, err := conn.ke.Decode(answer, decode)
		if err != nil {
			conn.close()
			return nil, err
		}
		conn.done(keptBy(resp))
		failed = false
		return resp, nil
	}
}

// stale reports whether a failed exchange only shows that a connection had
// rested too long: the source closed it and has said nothing to the request.
func (c *upstreamConn) stale(err error) bool {
	var e *ke.Error
	return c.reused && !c.ke.Heard() && errors.As(err, &e) && e.Class == ke.ClassNetwork
}

// keptBy is the dialect in which an answer says that the connection stays.
func keptBy(resp nts.Response) nts.Dialect {
	switch a := resp.(type) {
	case nts.Supported:
		if a.KeepAlive {
			return a.Dialect
		}
	case nts.ServerNames:
		return a.KeepAlive
	case nts.Established:
		return a.KeepAlive
	}
	return nts.NoDialect
}

// notThisDialect reports whether a source refused a request for its form: it
// does not know the records, or does not know this pool.
func notThisDialect(err error) bool {
	var e *ke.Error
	return errors.As(err, &e) && e.Class == ke.ClassServerError &&
		(e.Code == nts.UnrecognizedCriticalRecord || e.Code == nts.BadRequest)
}

// timedOut reports whether an exchange failed for want of time alone.
func timedOut(err error) bool {
	var e *ke.Error
	return errors.As(err, &e) && (e.Class == ke.ClassTimeout || e.Class == ke.ClassCancelled)
}
