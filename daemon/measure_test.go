package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// A measurement that ends without a result ends well, and keeps nothing,
// whatever mode its sources have. The configuration keeps sessions, as it does
// without a word about it.
func TestMeasuringEndsWithoutAnAnswer(t *testing.T) {
	for _, mode := range []string{"server", "nts", "nts-pool"} {
		t.Run(mode, func(t *testing.T) {
			cfg, problems := config.Parse("ntp.toml", []byte("[[source]]\nmode = \""+mode+"\"\naddress = \"127.0.0.1:1\"\n"))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if cfg.Synchronization.NTSStatePath == "" {
				t.Fatal("nothing would be kept anyway")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := 0
			m, err := Measure(ctx, cfg, slog.New(slog.DiscardHandler), func(*observe.Report) { told++; cancel() })
			if !errors.Is(err, ErrNoAgreement) || told == 0 {
				t.Errorf("%+v, %v; told %d times", m, err, told)
			}
		})
	}
}
