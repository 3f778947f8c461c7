package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/vm/wire"
)

// unsafe proves the pool example as its document runs it, in the same order and as root: a server whose time comes from a
// public pool, an NTS pool that finds one of its two servers missing, and a client of the pool on the same machine. Both
// daemons steer one clock, so the proof is the story that their logs and sockets tell, not accuracy.
func unsafe(ctx context.Context, m *machine, duration time.Duration) (string, error) {
	if err := m.startServers(ctx, "ntpd-rs.pool.ntp.org"); err != nil {
		return "", err
	}
	programs := []string{"server", "pool", "client"}
	defer m.keepLogs(programs...)
	commands := map[string][]string{
		"server": {"ntp-daemon", "-c", "examples/unsafe.nts.server.toml"},
		"pool":   {"nts-pool-ke", "-c", "examples/unsafe.pool.toml"},
		"client": {"ntp-daemon", "-c", "examples/unsafe.nts.client.toml"},
	}
	// A person goes on to the next terminal once the one before shows life. By then the server has set the clock, as it had
	// in the original, where the client came many seconds later.
	lives := map[string]string{"server": "stepping the clock", "pool": "listening on", "client": ":123"}
	if err := m.setClock(ctx, time.Second); err != nil {
		return "", err
	}
	for _, name := range programs {
		if err := m.start(ctx, name, commands[name]...); err != nil {
			return "", err
		}
		if err := m.awaitLog(ctx, name, lives[name]); err != nil {
			return "", err
		}
	}
	began := time.Now()
	var happy lab.Observation
	err := lab.Eventually(ctx, 2*time.Second, func() error {
		if err := m.calm(ctx, programs); err != nil {
			return lab.Final{Err: err}
		}
		o, err := m.observe(ctx, clientSocket)
		if err != nil {
			return err
		}
		if len(o.Sources) != 1 || o.Sources[0].Cookies == nil || *o.Sources[0].Cookies != 8 || !o.Selected() {
			return fmt.Errorf("client has no selected source with 8 cookies: %+v", o)
		}
		if happy = o; time.Since(began) < duration {
			return fmt.Errorf("well so far, %v of %v", time.Since(began).Round(time.Second), duration)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := m.sameStory(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("no warning in %v, 8081 refused and 8080 served, %s selected with %d cookies",
		duration, happy.Sources[0].Address, *happy.Sources[0].Cookies), nil
}

const clientSocket = "/var/run/ntpd-rs/observe-client"

// awaitLog waits until a program has printed a text.
func (m *machine) awaitLog(ctx context.Context, name, text string) error {
	return lab.Eventually(ctx, 500*time.Millisecond, func() error {
		log, running, err := m.log(ctx, name)
		if err == nil && !running {
			err = fmt.Errorf("%s has ended:\n%s", name, log)
		}
		if err == nil && !strings.Contains(log, text) {
			err = fmt.Errorf("%s has not printed %q:\n%s", name, text, log)
		}
		return err
	})
}

// sameStory compares the logs with what the original's printed.
func (m *machine) sameStory(ctx context.Context) error {
	server, _, err := m.log(ctx, "server")
	if err != nil {
		return err
	}
	for _, addr := range serverAddrs {
		if !strings.Contains(server, addr.String()+":123") {
			return fmt.Errorf("server's log does not name its source %s:\n%s", addr, server)
		}
	}
	pool, _, err := m.log(ctx, "pool")
	if err != nil {
		return err
	}
	err = inOrder(pool,
		"listening on",
		"received records from the client",
		"checking supported algorithms for 'localhost:8081'",
		"checking supported algorithms for 'localhost:8080'",
		"established connection to the server",
		"received supported algorithms from the NTS KE server",
		"fetching cookies from the NTS KE server",
		"received cookies from the NTS KE server",
		"wrote records for client",
	)
	if err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	for addr, want := range map[string]int{"127.0.0.1:8081": 1, "127.0.0.1:8080": 0} {
		r, err := m.call(ctx, wire.Request{Op: wire.Connect, Args: []string{addr}})
		if err != nil {
			return err
		}
		if r.Code != want {
			return fmt.Errorf("a connection to %s gives %d, want %d (0: taken, 1: refused)", addr, r.Code, want)
		}
	}
	return nil
}
