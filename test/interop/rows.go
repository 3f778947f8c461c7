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
	}
	return rows
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
			return follows(ctx, b, c, s, upstream{name: "server.test"})
		}},
		{c.String(), s.String(), "nts", func(ctx context.Context, b *bench) (string, error) {
			return follows(ctx, b, c, s, upstream{name: "server.test", nts: true, ca: "ca.pem"})
		}},
		{c.String(), s.String(), "nts wrong CA", func(ctx context.Context, b *bench) (string, error) {
			return refuses(ctx, b, c, s, upstream{name: "server.test", nts: true, ca: "wrong-ca.pem"})
		}},
	}
}

// follows proves that a client synchronises to a server: by the client's own account and by the server's counters.
func follows(ctx context.Context, b *bench, c, s peer, u upstream) (string, error) {
	srv, err := startServer(ctx, b, s)
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
	return a.text + " | " + counts.text, counts.suffices(u.nts)
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
		return fmt.Errorf("server counts no request: %s", s.text)
	case nts && s.authenticated == 0:
		return fmt.Errorf("server counts no authenticated request: %s", s.text)
	case nts && s.exchanges == 0:
		return fmt.Errorf("server counts no key exchange: %s", s.text)
	}
	return nil
}

// startServer starts a server and waits until it serves time and listens for key exchange.
func startServer(ctx context.Context, b *bench, s peer) (server, error) {
	srv, err := s.serve(b.server)
	if err != nil {
		return nil, err
	}
	err = lab.Eventually(ctx, 200*time.Millisecond, func() error {
		if _, err := srv.counted(); err != nil {
			return err
		}
		if err := b.client.Connect(netip.AddrPortFrom(addrServer, 4460)); err != nil {
			return err
		}
		answer, err := b.client.Ask(netip.AddrPortFrom(addrServer, 123))
		if err != nil {
			return err
		}
		return serves(answer)
	})
	if err != nil {
		return nil, fmt.Errorf("server did not become ready: %w", err)
	}
	return srv, nil
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
// server's kernel sees the connection), sends no NTP request after it, and says itself that it has nothing.
func refuses(ctx context.Context, b *bench, c, s peer, u upstream) (string, error) {
	if _, err := startServer(ctx, b, s); err != nil {
		return "", err
	}
	before, err := b.server.Traffic()
	if err != nil {
		return "", err
	}
	cli, err := c.follow(b.client, u)
	if err != nil {
		return "", err
	}
	var tries int
	err = lab.Eventually(ctx, 200*time.Millisecond, func() error {
		now, err := b.server.Traffic()
		if tries = now.Accepted - before.Accepted; err == nil && tries == 0 {
			err = errors.New("client does not try to exchange keys")
		}
		return err
	})
	if err != nil {
		return "", err
	}
	watch, cancel := context.WithTimeout(ctx, refusalTime)
	defer cancel()
	var a achievement
	asked := 0
	_ = lab.Eventually(watch, 500*time.Millisecond, func() error {
		got, err := cli.achieved()
		if err == nil {
			a = got
			asked++
		}
		if a.synchronised || a.authenticated || a.cookies > 0 {
			return nil // the worst has happened: no need to wait longer
		}
		return errors.New("still refusing")
	})
	after, err := b.server.Traffic()
	if err != nil {
		return "", err
	}
	switch requests := after.Datagram - before.Datagram; {
	case asked == 0:
		return "", errors.New("client could not be asked")
	case a.synchronised || a.authenticated || a.cookies > 0:
		return "", fmt.Errorf("client accepts a certificate of another authority: %s", a.text)
	case requests > 0:
		return "", fmt.Errorf("client sent %d NTP requests without keys", requests)
	}
	tries = after.Accepted - before.Accepted
	return fmt.Sprintf("refused as it must: %d connections, no NTP request, not synchronised, no cookie", tries), nil
}
