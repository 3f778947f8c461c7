package daemon

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testlog"
)

// pushed is a clock that others steer while its value is true.
type pushed struct{ atomic.Bool }

func (p *pushed) Meddled() (float64, bool) { return -12.3456e-6, p.Load() }

// TestOthersAreNamedOnceAnHour: a second daemon on the same clock never stops.
func TestOthersAreNamedOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Buffer
		var clock pushed
		ctx, cancel := context.WithCancel(t.Context())
		go watchOthers(ctx, &clock, slog.New(slog.NewTextHandler(&log, nil)))
		lines := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if n := strings.Count(log.String(), "\n"); n != want {
				t.Errorf("%d lines, want %d:\n%s", n, want, log.String())
			}
		}
		lines(24*time.Hour, 0)
		clock.Store(true)
		lines(watchInterval, 1)
		lines(59*time.Minute, 1)
		lines(2*time.Minute, 2)
		clock.Store(false)
		lines(24*time.Hour, 2)
		for _, text := range []string{"level=INFO", "code=clock-shared", "-12.346 ppm", "ntp-ctl doctor"} {
			if !strings.Contains(log.String(), text) {
				t.Errorf("without %q:\n%s", text, log.String())
			}
		}
		cancel()
		synctest.Wait()
	})
}
