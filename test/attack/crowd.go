package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// handshakeCrowd sends the first message of a handshake again and again, which costs its sender nothing, from one network
// to a server that has little time, and asks for keys from another.
func handshakeCrowd(t *scene.Trial) {
	h := t.Host("host")
	d := t.DaemonBehind(h, t.Capped(scene.Cap{CPU: 0.1}), "server", scene.Server)
	t.Serving(d, "127.0.0.1:123")
	if n := keysOfOthers(t, h); n < others {
		t.Fatal("%d of %d clients get keys", n, others)
	}
	t.Control("%d clients get keys of a server with a tenth of a processor", others)
	var crowd sync.WaitGroup
	var begun, computed atomic.Int64
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); crowd.Wait() })
	defer end()
	hello := scene.ClientHello()
	for range 300 {
		crowd.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				if c, err := t.ConnectFrom(h, "127.0.9.9", exchangeAddr); err == nil {
					begun.Add(1)
					_ = c.SetDeadline(time.Now().Add(longestExchange))
					if _, err := c.Write(hello); err == nil {
						if n, _ := c.Read(make([]byte, 4096)); n > 1000 { // with the certificate, signed; an alert is short
							computed.Add(1)
						}
					}
					c.Close()
				}
				select {
				case <-stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	t.Eventually(20*time.Second, func() error { return atLeast(int(computed.Load()), 100) })
	served := keysOfOthers(t, h)
	end()
	t.Alive(d.Process)
	// One after the other waits for a turn, while the crowd, of which 300 wait at any time, has its own. Without turns all
	// of the crowd that is there comes first.
	const most = 200
	each := computed.Load() / int64(max(1, served))
	if served < others*9/10 || each > most {
		t.Fatal("%d of %d clients of another network get keys among %d handshakes of a crowd, of which %d are computed for each", served, others, begun.Load(), each)
	}
	t.Saw("%d of %d clients of another network get keys among %d handshakes of a crowd, of which %d are computed for each", served, others, begun.Load(), each)
}

// others is how many clients ask for keys beside the crowd.
const others = 20

func keysOfOthers(t *scene.Trial, h *lab.Host) (served int) {
	for range others {
		if _, err := t.KeyExchangeFrom(h, "127.0.0.77", exchangeAddr, "server.test"); err == nil {
			served++
		}
	}
	return served
}
