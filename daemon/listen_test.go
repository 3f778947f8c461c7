package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// An address that is in use is waited for, a second and no longer; anything else
// that is wrong is told at once.
func TestAnAddressThatIsInUseIsWaitedFor(t *testing.T) {
	inUse := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	for _, tt := range []struct {
		name   string
		free   time.Duration // from when on
		err    error         // until then
		cancel bool
		waited time.Duration
	}{
		{"a killed daemon's process that ends", 100 * time.Millisecond, inUse, false, 100 * time.Millisecond},
		{"another server", time.Hour, inUse, false, time.Second},
		{"no such address", time.Hour, syscall.EADDRNOTAVAIL, false, 0},
		{"an end meanwhile", time.Hour, inUse, true, 0},
		{"nobody", 0, nil, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.cancel {
				cancel()
			}
			began := time.Now()
			_, err := patiently(ctx, func() (*net.TCPListener, error) {
				if time.Since(began) < tt.free {
					return nil, tt.err
				}
				return nil, nil
			})
			if waited := time.Since(began); waited != tt.waited || (err == nil) != (waited == tt.free) || err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%s: %v after %v, want %v", tt.name, err, waited, tt.waited)
			}
		})
	}
}
