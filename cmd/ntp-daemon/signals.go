package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ntpd-go/ntpd-go/daemon/logging"
)

// outliveReaders keeps the process alive when nobody reads what it writes any
// more: a log is not worth the time.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

// withSignals ends the context at the signals that end a daemon, so that the
// clock is left at its base frequency: SIGQUIT too, whose default is to die on
// the spot. SIGHUP opens the log file anew, for whoever rotates it, and has the
// configuration read anew.
func withSignals(ctx context.Context, log *logging.Log, reload chan<- struct{}) (context.Context, func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return // SIGHUP stays caught until the process ends
			case <-hangup:
				if err := log.Reopen(); err != nil {
					log.Error("could not open the log file anew", "code", "log-file", "error", err)
				}
				select {
				case reload <- struct{}{}:
				default: // one is due already
				}
			}
		}
	}()
	return ctx, stop
}
