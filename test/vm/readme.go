package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// transcript proves the commands of the README as a person types them: three daemons with the example files, then the
// status without a flag.
func transcript(ctx context.Context, m *machine) (string, error) {
	if err := m.startServers(ctx, "pool.ntp.org", "time1.example.org", "time2.example.org"); err != nil {
		return "", err
	}
	programs := []string{"client", "server", "pool"}
	defer m.keepLogs(programs...)
	if err := m.start(ctx, "client", "ntp-daemon", "-c", "examples/client.toml"); err != nil {
		return "", err
	}
	// The first daemon owns the socket that the status is read from, as the order of the transcript has it. A person goes
	// on to the next terminal once the clock is right: two daemons that both step it would rightly complain.
	err := lab.Eventually(ctx, time.Second, func() error {
		if err := m.calm(ctx, programs[:1]); err != nil {
			return lab.Final{Err: err}
		}
		o, err := m.observe(ctx, defaultSocket)
		if err == nil && o.System.Leap != "NoWarning" {
			err = fmt.Errorf("client is not synchronised: %+v", o)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if err := m.start(ctx, "server", "ntp-daemon", "-c", "examples/server.toml"); err != nil {
		return "", err
	}
	if err := m.start(ctx, "pool", "nts-pool-ke", "-c", "examples/pool.toml"); err != nil {
		return "", err
	}
	status, err := m.readStatus(ctx, programs)
	if err != nil {
		return "", err
	}
	if err := m.save("status.txt", status); err != nil {
		return "", err
	}
	// Both steer one clock by now.
	for _, name := range []string{"client", "server"} {
		if err := m.awaitLog(ctx, name, "code=clock-shared"); err != nil {
			return "", err
		}
	}
	return "status: " + strings.TrimSpace(strings.SplitN(status, "\n", 2)[0]), nil
}

// readStatus waits until the guest's server is right and `ntp-ctl status` shows its sources, and returns what it printed.
func (m *machine) readStatus(ctx context.Context, programs []string) (string, error) {
	var status string
	err := lab.Eventually(ctx, 2*time.Second, func() error {
		// The second daemon finds the socket taken and says so; nothing else may warn.
		if err := m.calm(ctx, programs, defaultSocket); err != nil {
			return lab.Final{Err: err}
		}
		answer, err := m.ask()
		if err != nil {
			return err
		}
		if answer.Leap == 3 || answer.Stratum != 2 || answer.Offset.Abs() > 50*time.Millisecond {
			return fmt.Errorf("guest's server is not synchronised: %+v", answer)
		}
		r, err := m.run(ctx, "ntp-ctl", "status")
		if err != nil {
			return err
		}
		if status = r.Output; r.Code != 0 {
			return fmt.Errorf("ntp-ctl status ends with %d: %s", r.Code, status)
		}
		return showsSources(status)
	})
	return status, err
}

const defaultSocket = "/var/run/ntpd-rs/observe"

// showsSources wants a status that shows the clock synchronised and every server of the laboratory as a selected source.
func showsSources(status string) error {
	if !strings.HasPrefix(status, "Synchronised: ") {
		return fmt.Errorf("status is not synchronised:\n%s", status)
	}
	for _, addr := range serverAddrs {
		line := regexp.MustCompile(`(?m)^[*+].*` + regexp.QuoteMeta(addr.String()) + `(?::123)? .*$`)
		if !line.MatchString(status) {
			return fmt.Errorf("status does not show %s as selected:\n%s", addr, status)
		}
	}
	return nil
}
