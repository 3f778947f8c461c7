package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// row is one line of the table.
type row struct {
	client, server, what string
	prove                func(ctx context.Context, b *bench) (evidence string, err error)
}

func (r row) name() string { return r.client + " " + r.server + " " + r.what }

func (w *world) peers() []peer {
	return []peer{
		chrony{w.bookworm, "4.3"},
		ntpsec{folder: w.bookworm, version: "1.2.2"},
		chrony{w.trixie, "4.6.1"},
		ntpdrs{w.trixie, "1.4.0"},
		ntpsec{folder: w.trixie, version: "1.2.3"},
	}
}

// rows are ours against everyone.
func (w *world) rows() []row {
	us := ours{w.options.bin}
	var rows []row
	for _, p := range w.peers() {
		rows = append(rows, pairs(us, p)...)
		rows = append(rows, pairs(p, us)...)
		rows = append(rows, poolRows(us, p)...)
	}
	six := ours6{us}
	for _, p := range w.peers() {
		if c, ok := p.(chrony); ok {
			rows = append(rows, pairs6(six, c)...)
			rows = append(rows, pairs6(c, six)...)
		}
	}
	rows = append(rows, pairs6(six, six)...)
	rows = append(rows, pairs(us, us)...)
	rows = append(rows, poolRows(us, us)...)
	for _, p := range w.peers() {
		if n, ok := p.(ntpsec); ok {
			rows = append(rows, politeRow(us, n))
		}
	}
	rs := ntpdrs{w.trixie, "1.4.0"}
	return append(rows, statusRow(rs.String(), rs.status, us, us), statusRow(us.String(), us.status, rs, rs))
}

// peerRows are all pairs of peers: if one of them is red, the bench is wrong.
func (w *world) peerRows() []row {
	var rows []row
	for _, c := range w.peers() {
		for _, s := range w.peers() {
			rows = append(rows, pairs(c, s)...)
		}
	}
	return rows
}

// pairs are the rows of one client with one server.
func pairs(c, s peer) []row {
	return []row{
		{c.String(), s.String(), "plain", func(ctx context.Context, b *bench) (string, error) {
			return pair(ctx, b, c, s, upstream{name: "server.test"}, follows)
		}},
		{c.String(), s.String(), "nts", func(ctx context.Context, b *bench) (string, error) {
			return pair(ctx, b, c, s, upstream{name: "server.test", nts: true, ca: "ca.pem"}, follows)
		}},
		{c.String(), s.String(), "nts wrong CA", func(ctx context.Context, b *bench) (string, error) {
			return pair(ctx, b, c, s, upstream{name: "server.test", nts: true, ca: "wrong-ca.pem"}, refuses)
		}},
	}
}

// pair starts the server and lets the proof go on with it.
func pair(ctx context.Context, b *bench, c, s peer, u upstream, proof func(context.Context, *bench, peer, server, upstream) (string, error)) (string, error) {
	srv, err := startServer(ctx, b, s)
	if err != nil {
		return "", err
	}
	return proof(ctx, b, c, srv, u)
}

// follows proves that a client synchronises to a running server: by the client's own account and by the server's counters.
func follows(ctx context.Context, b *bench, c peer, srv server, u upstream) (string, error) {
	before, err := srv.counted()
	if err != nil {
		return "", err
	}
	cli, err := c.follow(b.client, u)
	if err != nil {
		return "", err
	}
	var a achievement
	err = lab.Eventually(ctx, 500*time.Millisecond, func() error {
		var err error
		if a, err = cli.achieved(); err != nil {
			return err
		}
		return a.suffices(u.nts)
	})
	if err != nil {
		return "", err
	}
	counts, err := srv.counted()
	if err != nil {
		return "", err
	}
	counts = counts.since(before)
	return a.text + " | " + counts.String(), counts.suffices(u.nts)
}

// maxOffset is generous for two hosts that share one clock, and far below what a wrong time scale would give.
const maxOffset = 10 * time.Millisecond

func (a achievement) suffices(nts bool) error {
	switch {
	case !a.synchronised:
		return fmt.Errorf("client has not chosen the server: %s", a.text)
	case a.replies == 0:
		return fmt.Errorf("client has no valid reply: %s", a.text)
	case a.offset.Abs() >= maxOffset:
		return fmt.Errorf("client sees an offset of %v: %s", a.offset, a.text)
	case nts && !a.authenticated:
		return fmt.Errorf("replies are not authenticated: %s", a.text)
	case nts && a.cookies != 8:
		return fmt.Errorf("client holds %d cookies, want 8: %s", a.cookies, a.text)
	case !nts && a.cookies > 0:
		return fmt.Errorf("client without NTS holds cookies: %s", a.text)
	}
	return nil
}

func (s served) suffices(nts bool) error {
	switch {
	case s.requests == 0:
		return fmt.Errorf("server counts no request: %s", s)
	case nts && s.authenticated == 0:
		return fmt.Errorf("server counts no authenticated request: %s", s)
	case nts && s.exchanges == 0:
		return fmt.Errorf("server counts no key exchange: %s", s)
	}
	return nil
}

// startServer starts a server and waits until it serves time and listens for key exchange.
func startServer(ctx context.Context, b *bench, s peer) (server, error) {
	srv, err := s.serve(b.server)
	if err != nil {
		return nil, err
	}
	return srv, awaitServer(ctx, b, srv, addrServer)
}

// awaitServer asks from the server's own host, so that nothing is counted against the client's address.
func awaitServer(ctx context.Context, b *bench, srv server, addr netip.Addr) error {
	err := lab.Eventually(ctx, 200*time.Millisecond, func() error {
		if _, err := srv.counted(); err != nil {
			return err
		}
		if err := b.server.Connect(netip.AddrPortFrom(addr, 4460)); err != nil {
			return err
		}
		answer, err := b.server.Ask(netip.AddrPortFrom(addr, 123))
		if err != nil {
			return err
		}
		return serves(answer)
	})
	if err != nil {
		return fmt.Errorf("server did not become ready: %w", err)
	}
	return nil
}

// serves tells whether a client would take such an answer.
func serves(a lab.Answer) error {
	const maxRoot = 500 * time.Millisecond // clients draw the line between 1 and 3 seconds
	if a.Leap == 3 || a.Stratum == 0 || a.Stratum > 15 || a.Root > maxRoot {
		return fmt.Errorf("server is not synchronised: %+v", a)
	}
	return nil
}

// refusalTime is how long a client that has met a wrong certificate is watched for not giving in.
const refusalTime = 8 * time.Second

// refuses proves that the same pair does not synchronise when the client trusts another authority: the client tries (the
// kernels of both hosts see the connection), sends no NTP request after it, and says itself that it has nothing.
func refuses(ctx context.Context, b *bench, c peer, _ server, u upstream) (string, error) {
	before, err := b.server.Traffic()
	if err != nil {
		return "", err
	}
	cli, err := c.follow(b.client, u)
	if err != nil {
		return "", err
	}
	if err := awaitConnection(ctx, b, before); err != nil {
		return "", err
	}
	worst, err := watch(ctx, cli)
	if err != nil {
		return "", err
	}
	if worst.yields() {
		return "", fmt.Errorf("client accepts a certificate of another authority: %s", worst.text)
	}
	after, err := b.server.Traffic()
	if err != nil {
		return "", err
	}
	if requests := after.Datagrams - before.Datagrams; requests > 0 {
		return "", fmt.Errorf("client sent %d NTP requests without keys", requests)
	}
	here, err := b.client.Traffic()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("refused as it must: %d connections, no NTP request, not synchronised, no cookie", here.Opened), nil
}

// awaitConnection waits until the client has opened a connection and the server's host has taken one.
func awaitConnection(ctx context.Context, b *bench, before lab.Traffic) error {
	return lab.Eventually(ctx, 200*time.Millisecond, func() error {
		here, err := b.client.Traffic()
		if err != nil {
			return err
		}
		there, err := b.server.Traffic()
		if err == nil && (here.Opened == 0 || there.Accepted == before.Accepted) {
			err = errors.New("client does not try to exchange keys")
		}
		return err
	})
}

// yields tells that a client which should have nothing has something after all.
func (a achievement) yields() bool { return a.synchronised || a.authenticated || a.cookies > 0 }

// watch asks a client for refusalTime, or until it yields, and returns the last of its answers. A client that could
// not answer at the end, say because it died, has proved nothing.
func watch(ctx context.Context, cli client) (achievement, error) {
	ctx, cancel := context.WithTimeout(ctx, refusalTime)
	defer cancel()
	var last achievement
	unasked := errors.New("client could not be asked")
	_ = lab.Eventually(ctx, 500*time.Millisecond, func() error {
		a, err := cli.achieved()
		if unasked = err; err != nil {
			return err
		}
		if last = a; a.yields() {
			return nil // no need to wait longer
		}
		return errors.New("still refusing")
	})
	return last, unasked
}
