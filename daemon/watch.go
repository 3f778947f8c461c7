package daemon

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// watchInterval is how often the machine is looked at where the kernel does
// not tell.
const watchInterval = 4 * time.Second

// watch tells the engine when someone else moves the clock, when the machine
// slept, and when its addresses or routes change.
func (d *daemon) watch(ctx context.Context, l *loop) {
	var both sync.WaitGroup
	both.Go(func() {
		netio.Watch(ctx, watchInterval, func(local []netip.Addr) { l.post(ctx, engine.NetworkChanged{Local: local}) })
	})
	both.Go(func() {
		clock.NewWatch(d.Clock).Run(ctx, watchInterval, func(ev engine.Jumped) { l.post(ctx, ev) })
	})
	both.Wait()
}
