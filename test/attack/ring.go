package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// cable joins two hosts that may have other cables, too.
func cable(t *scene.Trial, a, b *lab.Host, name, addrA, addrB string) {
	wireHosts(t, a, b, addrA, addrB)
	for _, h := range []*lab.Host{a, b} {
		t.Check(h.IP("link", "set", "wire0", "down"))
		t.Check(h.IP("link", "set", "wire0", "name", name, "up"))
	}
}

// ring is three daemons, each of which has the one before as its source.
func ring(t *scene.Trial) {
	hosts := []*lab.Host{t.Host("first"), t.Host("second"), t.Host("third")}
	cable(t, hosts[0], hosts[1], "right", "10.9.1.1/24", "10.9.1.2/24")
	cable(t, hosts[1], hosts[2], "left", "10.9.2.2/24", "10.9.2.3/24")
	cable(t, hosts[2], hosts[0], "back", "10.9.3.3/24", "10.9.3.1/24")
	u := t.Upstream(hosts[0], "10.9.3.1:1123")
	before := []string{"10.9.3.3", "10.9.1.1", "10.9.2.2"}
	ds := make([]*scene.Daemon, len(hosts))
	for i, h := range hosts {
		text := "[[server]]\nlisten = \"0.0.0.0:123\"\n" + scene.Client + plainSource(before[i])
		if i == 0 {
			text += plainSource("10.9.3.1:1123")
		}
		ds[i] = t.Daemon(h, fmt.Sprintf("member-%d", i+1), text)
	}
	for _, d := range ds {
		t.Synchronised(d, 60*time.Second)
	}
	t.Control("the first follows a server at stratum 1, the second the first, the third the second")
	closed := func() (strata []uint8, all bool) {
		all = true
		for i, d := range ds {
			a, err := scene.Ask(hosts[i], "127.0.0.1:123")
			t.Check(err)
			if a.Offset.Abs() > 100*time.Millisecond {
				t.Fatal("member %d of the ring is %v off", i+1, a.Offset)
			}
			s, _, err := d.Source(0)
			t.Check(err)
			strata, all = append(strata, a.Stratum), all && s.Condition == "selected"
		}
		return strata, all
	}
	u.Script(func(*scene.Asked) [][]byte { return [][]byte{} })
	var strata []uint8
	climbed := false
	t.Eventually(60*time.Second, func() error {
		now, all := closed()
		climbed = climbed || all && now[0] > 4
		strata = now
		if all || !slices.Contains(now, 16) {
			return fmt.Errorf("the ring is closed, at strata %d", now)
		}
		return nil
	})
	if !climbed {
		t.Fatal("the ring was never closed: the row shows nothing")
	}
	t.Hold(10*time.Second, func() error {
		if now, all := closed(); all {
			return fmt.Errorf("the ring is closed again, at strata %d", now)
		}
		return nil
	})
	t.Saw("without the server the ring counts its strata up, at one request a second within a minute, to where one member does not know the time any more (%d), and stays open", strata)
}
