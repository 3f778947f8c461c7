package daemon

import (
	"context"
	"fmt"
	"log/slog"
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
// slept, and when its addresses or routes change. It tells the log when someone
// else steers the clock.
func (d *daemon) watch(ctx context.Context, l *loop) {
	var all sync.WaitGroup
	all.Go(func() {
		netio.Watch(ctx, watchInterval, func(local []netip.Addr) { l.post(ctx, d.network(local)) })
	})
	all.Go(func() {
		clock.NewWatch(d.Clock).Run(ctx, watchInterval, func(ev engine.Jumped) { l.post(ctx, ev) })
	})
	if c, ok := d.Clock.(shared); ok {
		all.Go(func() { watchOthers(ctx, c, d.Log) })
	}
	all.Wait()
}

// network is where this machine can be reached, and where it serves.
func (d *daemon) network(local []netip.Addr) engine.NetworkChanged {
	ev := engine.NetworkChanged{Local: local}
	for i := range d.Config.Servers {
		ev.Serving = append(ev.Serving, d.Config.Servers[i].Listen)
	}
	return ev
}

// shared is a clock that others can steer too, and that knows when they did: at
// which frequency it runs now, s/s.
type shared interface {
	Meddled() (frequency float64, meddled bool)
}

// othersInterval is how often it is said that others steer the clock.
const othersInterval = time.Hour

// watchOthers says that someone else steers a clock, once an hour. That is no
// warning: two daemons on one clock that agree do little harm, and when they do
// not, the steps and the falsetickers are warned of.
func watchOthers(ctx context.Context, c shared, log *slog.Logger) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var said time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		frequency, meddled := c.Meddled()
		if !meddled || !said.IsZero() && time.Since(said) < othersInterval {
			continue
		}
		said = time.Now()
		log.Info(fmt.Sprintf("something else steers the system's clock too: it was made to run at %+.3f ppm; let only one program do so (ntp-ctl doctor finds the others)", frequency*1e6),
			"code", "clock-shared")
	}
}
