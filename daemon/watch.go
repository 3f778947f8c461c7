package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// watchInterval is how often the machine is looked at.
const watchInterval = 4 * time.Second

// watch tells the engine when someone else moves the clock, when the machine
// slept, and when its addresses change.
func (d *daemon) watch(ctx context.Context, l *loop) {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	var known []netip.Addr
	jumps := clock.NewWatch(d.Clock)
	for {
		if addrs, err := netio.LocalAddrs(); err == nil && !slices.Equal(addrs, known) {
			known = addrs
			l.post(ctx, engine.NetworkChanged{Local: addrs})
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if ev, moved := jumps.Look(); moved {
			l.post(ctx, ev)
		}
	}
}
