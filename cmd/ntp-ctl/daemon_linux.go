package main

import (
	"context"
	"log/slog"

	"github.com/ntpd-go/ntpd-go/daemon"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto"
)

// What ntp-ctl does with the daemon's own means exists where the daemon does.

var errMayNotStep = daemon.ErrMayNotStep

// measure asks the configured sources how far off the system's clock is.
func measure(ctx context.Context, cfg *config.Config) (measured, error) {
	m, err := daemon.Measure(ctx, cfg, slog.New(slog.DiscardHandler), func(*observe.Report) {})
	return measured{m.Offset, m.Sigma, m.Sources, m.Configured}, err
}

func stepClock(by proto.Duration) error { return daemon.StepClock(by) }

func forgetSteps(path string) (before float64, err error) { return daemon.ForgetSteps(path) }
