package netio

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// settle is how long the network must be quiet before it is looked at: a
// change of address or route comes as several messages.
const settle = 200 * time.Millisecond

// unrest is how long it may go on without a look.
const unrest = 2 * time.Second

// Watch calls changed with the addresses of this machine at once, and whenever
// they or its default routes change, until the context ends. On Linux the
// kernel tells of changes; besides, and elsewhere instead, it looks for other
// addresses every so often.
func Watch(ctx context.Context, every time.Duration, changed func([]netip.Addr)) {
	w := watcher{list: LocalAddrs, changed: changed}
	news, closer := listenNews()
	if closer != nil {
		defer closer()
	}
	w.run(ctx, every, news)
}

// watcher compares the machine's addresses with those of before.
type watcher struct {
	list    func() ([]netip.Addr, error)
	changed func([]netip.Addr)
	known   []netip.Addr
	begun   bool
}

// news says what may have changed.
type news struct {
	routes bool // a default route came or went, so whoever waits should try
}

func (w *watcher) run(ctx context.Context, every time.Duration, from <-chan news) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for force := false; ; {
		w.look(force)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			force = false
		case n, ok := <-from:
			if !ok {
				from = nil // the kernel tells no more; go on looking
				continue
			}
			force = calm(ctx, from) || n.routes
		}
	}
}

// look reports the addresses if they changed, or if it must.
func (w *watcher) look(force bool) {
	addrs, err := w.list()
	if err != nil || w.begun && !force && slices.Equal(addrs, w.known) {
		return
	}
	w.known, w.begun = addrs, true
	w.changed(addrs)
}

// calm waits until no more news comes, and reports whether any of it was of
// routes.
func calm(ctx context.Context, from <-chan news) (routes bool) {
	end := time.NewTimer(unrest)
	defer end.Stop()
	for {
		quiet := time.NewTimer(settle)
		select {
		case n, ok := <-from:
			quiet.Stop()
			routes = routes || n.routes
			if !ok {
				return routes
			}
		case <-quiet.C:
			return routes
		case <-end.C:
			return routes
		case <-ctx.Done():
			return routes
		}
	}
}
