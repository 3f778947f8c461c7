package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// politeRow proves that our first burst is polite to a server that limits everybody: the server limits nobody while we
// start, yet limits the lab when it asks rudely.
func politeRow(us ours, s ntpsec) row {
	s.limited = true
	return row{us.String(), s.String(), "nts no RATE", func(ctx context.Context, b *bench) (string, error) {
		u := upstream{name: "server.test", nts: true, ca: "ca.pem"}
		srv, err := startServer(ctx, b, s)
		if err != nil {
			return "", err
		}
		before, err := srv.counted()
		if err != nil {
			return "", err
		}
		cli, err := us.follow(b.client, u)
		if err != nil {
			return "", err
		}
		var after served
		err = lab.Eventually(ctx, time.Second, func() error { // until the burst is over
			a, err := cli.achieved()
			if err != nil {
				return err
			}
			if err := a.suffices(true); err != nil {
				return err
			}
			if after, err = srv.counted(); err != nil {
				return err
			}
			after = after.since(before)
			if after.authenticated < burst {
				return fmt.Errorf("only %d authenticated requests yet, want the whole burst of %d", after.authenticated, burst)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if after.refused != 0 {
			return "", fmt.Errorf("the server limited us: %s", after)
		}
		limited, err := rudeness(b, srv)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d authenticated requests, none limited; %d of the lab's rude ones were", after.authenticated, limited), nil
	}}
}

// burst is how many requests the polite row waits for: more than any initial burst of ours, so that the step to the
// regular interval is seen too.
const burst = 5

// rudeness asks without pauses and returns how many requests the server then counts as limited.
func rudeness(b *bench, srv server) (int, error) {
	before, err := srv.counted()
	if err != nil {
		return 0, err
	}
	if err := b.server.Flood(netip.AddrPortFrom(addrServer, 123), 1000); err != nil {
		return 0, err
	}
	after, err := srv.counted()
	if err != nil {
		return 0, err
	}
	limited := after.refused - before.refused
	if limited == 0 {
		return 0, errors.New("the server limits nobody, so this row proves nothing")
	}
	return limited, nil
}

// statusRow proves that a status command understands a daemon's observation socket: what it prints names the server and
// shows the cookies that the socket's JSON holds.
func statusRow(reader string, status func(b *bench, config string) (string, error), daemon peer, s peer) row {
	return row{reader, daemon.String(), "status socket", func(ctx context.Context, b *bench) (string, error) {
		u := upstream{name: "server.test", nts: true, ca: "ca.pem"}
		if _, err := startServer(ctx, b, s); err != nil {
			return "", err
		}
		cli, err := daemon.follow(b.client, u)
		if err != nil {
			return "", err
		}
		err = lab.Eventually(ctx, 500*time.Millisecond, func() error {
			a, err := cli.achieved()
			if err != nil {
				return err
			}
			return a.suffices(true)
		})
		if err != nil {
			return "", err
		}
		text, err := status(b, lab.RunDir+"/client.toml")
		if err != nil {
			return "", err
		}
		for _, want := range []string{"server.test:4460", "10.77.0.1:123", "8/8 available", "Stratum:"} {
			if !strings.Contains(text, want) {
				return "", fmt.Errorf("status does not show %q:\n%s", want, text)
			}
		}
		return fmt.Sprintf("status shows the source by name and address with its cookies (%d lines)", strings.Count(text, "\n")), nil
	}}
}

// status runs the ntp-ctl of the Debian package.
func (n ntpdrs) status(b *bench, config string) (string, error) {
	return b.client.Output(lab.Program{Folder: n.folder.Path, Args: []string{"ntp-ctl", "-c", config, "status"}})
}

// status runs our ntp-ctl, with the layout that theirs has.
func (o ours) status(b *bench, config string) (string, error) {
	return b.client.Output(lab.Program{Args: []string{filepath.Join(o.bin, "ntp-ctl"), "status", "-f", "plain", "-c", config}})
}
