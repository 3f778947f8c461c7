package pool

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// upstream makes the connections to time sources. It makes one for every
// message.
type upstream struct {
	client *ke.Client
	roots  func() *x509.CertPool
}

// upstreamConn is a connection to a source, and the dialect to speak on it.
type upstreamConn struct {
	member  *member
	dialect nts.Dialect
	ke      *ke.Conn
}

func (c *upstreamConn) close() { c.ke.Close() }

func (u *upstream) connect(ctx context.Context, m *member, d nts.Dialect) (*upstreamConn, error) {
	conn, err := u.client.Connect(ctx, ke.Target{
		Host: m.source.Domain, Port: m.source.Port, Roots: u.roots(),
	})
	if err != nil {
		return nil, err
	}
	return &upstreamConn{member: m, dialect: d, ke: conn}, nil
}

// ask finds out what a source supports, in whichever dialect it understands.
// An Error record ends the connection, so that each dialect takes a new one.
// progress is told of each step that succeeded.
func (u *upstream) ask(ctx context.Context, m *member, progress func(string)) (support, error) {
	var err error
	for range dialects {
		d := m.dialect()
		var s support
		if s, err = u.askIn(ctx, m, d, progress); err == nil {
			return s, nil
		}
		if !notThisDialect(err) {
			return support{}, err
		}
		m.otherDialect()
	}
	return support{}, fmt.Errorf("it serves no pool, or not this one: %w", err)
}

func (u *upstream) askIn(ctx context.Context, m *member, d nts.Dialect, progress func(string)) (support, error) {
	conn, err := u.connect(ctx, m, d)
	if err != nil {
		return support{}, err
	}
	defer conn.close()
	progress("established connection to the server")

	// The first generation has no list of protocols; it serves NTPv4.
	question := nts.Information{Dialect: d, Protocols: d != nts.ClientCertificate, Algorithms: true}
	request, err := nts.AppendRequest(nil, question)
	if err != nil {
		return support{}, err
	}
	answer, err := conn.ke.RoundTrip(ctx, request)
	if err != nil {
		return support{}, err
	}
	resp, err := conn.ke.Decode(answer, nts.DecodeSupported)
	if err != nil {
		return support{}, err
	}
	supported, ok := resp.(nts.Supported)
	if !ok {
		return support{}, fmt.Errorf("unexpected answer %T", resp)
	}
	if supported.Algorithms == nil {
		return support{}, fmt.Errorf("%v did not say which algorithms it supports", m.source)
	}
	progress("received supported algorithms from the NTS KE server")
	return usable(d, question, supported), nil
}

// usable is what a pool that brokers NTPv4 can use of what a source supports.
func usable(d nts.Dialect, q nts.Information, a nts.Supported) support {
	s := support{dialect: d}
	if q.Protocols {
		found := false
		for _, p := range a.Protocols {
			found = found || p == nts.NTPv4
		}
		if !found {
			return s
		}
	}
	s.algorithms = a.Algorithms
	return s
}
