package netio

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatcher runs on a simulated clock: addresses change, and the kernel may
// or may not tell.
func TestWatcher(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		var addrs []netip.Addr
		var fault error
		var reports [][]netip.Addr
		locked := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
		w := watcher{
			list: func() (a []netip.Addr, err error) {
				locked(func() { a, err = slices.Clone(addrs), fault })
				return a, err
			},
			changed: func(now []netip.Addr) { locked(func() { reports = append(reports, now) }) },
		}
		become := func(a ...netip.Addr) { locked(func() { addrs = a }) }
		kernel := make(chan news)
		ended := make(chan struct{})
		become(a)
		go func() { w.run(ctx, 10*time.Second, kernel); close(ended) }()
		expect := func(when string, want ...[]netip.Addr) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.EqualFunc(reports, want, slices.Equal) {
				t.Errorf("%s: reported %v, want %v", when, reports, want)
			}
			reports = nil
		}
		expect("at once", []netip.Addr{a})
		time.Sleep(35 * time.Second)
		expect("nothing happened")

		become(a, b)
		time.Sleep(10 * time.Second)
		expect("found without news", []netip.Addr{a, b})

		become(b)
		for range 5 { // a change comes as several messages
			kernel <- news{}
			time.Sleep(settle / 2)
		}
		expect("not yet calm")
		time.Sleep(settle)
		expect("calm", []netip.Addr{b})

		kernel <- news{}
		time.Sleep(settle)
		expect("news of nothing")
		kernel <- news{routes: true}
		time.Sleep(settle)
		expect("a route came", []netip.Addr{b})
		kernel <- news{}
		kernel <- news{routes: true}
		kernel <- news{}
		time.Sleep(settle)
		expect("a route among other news", []netip.Addr{b})

		become()
		for start := time.Now(); time.Since(start) < unrest; time.Sleep(settle / 2) {
			kernel <- news{}
		}
		expect("no peace, but a look", []netip.Addr{})
		time.Sleep(settle)

		locked(func() { fault = errors.New("cannot list") })
		time.Sleep(20 * time.Second)
		expect("a failing list")
		locked(func() { fault = nil })
		close(kernel)
		become(a)
		time.Sleep(20 * time.Second)
		expect("still looking when the kernel tells no more", []netip.Addr{a})

		cancel()
		<-ended
	})
}
