package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// contested is a clock that must be taken from others first.
type contested struct {
	*clock.Software
	take func() error
}

func (c *contested) Take() error { return c.take() }

// listener is a log handler that hands out messages.
type listener struct {
	slog.Handler
	hear func(message string)
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

func (l *listener) Handle(_ context.Context, r slog.Record) error {
	l.hear(r.Message)
	return nil
}

// serving is a daemon that serves its own clock at an address.
func serving(t *testing.T, address string, take func() error, hear func(string)) *daemon {
	t.Helper()
	c, problems := config.Parse("ntp.toml", []byte(`
[[server]]
listen = "`+address+`"
[synchronization]
local-stratum = 1
[observability]
observation-path = ""
[keyset]
key-storage-path = "`+t.TempDir()+`/keys"
`))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	soft, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(&listener{slog.DiscardHandler, hear})
	return newDaemon(Options{Config: c, Clock: &contested{soft, take}, ClockName: ClockSoftware, Log: log, Strange: log})
}

// TestOrderOfStart: the clock is taken when all is bound, and served when it is
// known what to say of it.
func TestOrderOfStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var d *daemon
	taken, heard := false, false
	d = serving(t, "127.0.0.1:0", func() error {
		if taken = true; d.ntp == nil || !d.ntp.Addrs()[0].IsValid() {
			t.Error("the clock is taken before the server has its address")
		}
		return nil
	}, func(message string) {
		if message != "serving NTP" {
			return
		}
		if s := d.snapshot.Load(); s == nil || s.Stratum != 1 {
			t.Errorf("serves before it is known what: %+v", s)
		}
		heard = true
		cancel()
	})
	if err := d.begin(ctx); err != nil || !taken || !heard {
		t.Errorf("ended with %v; clock taken %v, served %v", err, taken, heard)
	}
}

// TestAClockThatIsNotGiven ends the daemon, which has served nobody.
func TestAClockThatIsNotGiven(t *testing.T) {
	d := serving(t, "127.0.0.1:0", func() error { return clock.ErrPermission }, func(message string) {
		if message == "serving NTP" {
			t.Error(message)
		}
	})
	if err := d.begin(t.Context()); !errors.Is(err, clock.ErrPermission) || cli.Code(err) != cli.Software {
		t.Errorf("ended with %v", err)
	}
}

// TestAnAddressInUseLeavesTheClock to whoever steers it.
func TestAnAddressInUseLeavesTheClock(t *testing.T) {
	first := serving(t, "127.0.0.1:0", func() error { return nil }, func(string) {})
	if err := first.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer first.ntp.Serve(ctx)
	second := serving(t, first.ntp.Addrs()[0].String(), func() error { t.Error("taken"); return nil }, func(string) {})
	if err := second.begin(t.Context()); err == nil {
		t.Error("two daemons on one address")
	}
}
