package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// steerConfig is examples/client.toml with a server section, through which the host judges the guest's clock.
const steerConfig = `[observability]
log-level = "info"
[[source]]
mode = "pool"
address = "pool.ntp.org"
count = 4
[[server]]
listen = "0.0.0.0:123"
[synchronization]
single-step-panic-threshold = 1800
startup-step-panic-threshold = { forward = "inf", backward = 86400 }
`

// steers proves that ntp-daemon disciplines a kernel's clock: half a second wrong at first, right within a millisecond a
// minute after the daemon started and from then on, judged from the host by asking the guest's NTP server.
func steers(ctx context.Context, m *machine) (string, error) {
	const wrong, limit, within, steady = 500 * time.Millisecond, time.Millisecond, time.Minute, 10 * time.Second
	if err := m.startServers(ctx, "pool.ntp.org"); err != nil {
		return "", err
	}
	if err := m.write(ctx, "/project/steer.toml", steerConfig); err != nil {
		return "", err
	}
	if err := m.setClock(ctx, wrong); err != nil {
		return "", err
	}
	ahead, uncertainty, err := m.clockError(ctx)
	if err != nil {
		return "", err
	}
	if (ahead - wrong).Abs() > uncertainty+wrong/10 {
		return "", fmt.Errorf("guest's clock is %v ahead (± %v), want about %v", ahead, uncertainty, wrong)
	}
	defer m.keepLogs("client")
	began := time.Now()
	if err := m.start(ctx, "client", "ntp-daemon", "-c", "steer.toml"); err != nil {
		return "", err
	}
	watch, cancel := context.WithDeadline(ctx, began.Add(within+steady))
	defer cancel()
	var now lab.Answer
	var since time.Time // when the clock came right, for as long as it has stayed so
	var took time.Duration
	err = lab.Eventually(watch, time.Second, func() error {
		var err error
		if now, err = m.ask(); err != nil {
			return err
		}
		if now.Offset.Abs() > limit || now.Leap == 3 {
			since = time.Time{}
			return fmt.Errorf("guest's clock is off by %v, leap %d, stratum %d", now.Offset, now.Leap, now.Stratum)
		}
		if since.IsZero() {
			since = time.Now()
			took = since.Sub(began).Round(time.Second)
		}
		if held := time.Since(since); held < steady {
			return fmt.Errorf("guest's clock is right since %v, want %v", held, steady)
		}
		return nil
	})
	if err != nil {
		text, _, _ := m.log(ctx, "client") // best effort: it explains the failure
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	if _, running, err := m.log(ctx, "client"); err != nil || !running {
		return "", fmt.Errorf("ntp-daemon ended: %w", err)
	}
	return fmt.Sprintf("from %v to within %v in %v and steady; at last %v, stratum %d",
		ahead.Round(time.Millisecond), limit, took, now.Offset, now.Stratum), nil
}
