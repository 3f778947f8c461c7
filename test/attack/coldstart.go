package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

const day = 24 * time.Hour

// era is a world as a server has it, seen from the present: when its certificate is valid, and what time it says it is.
type era struct{ from, to, says time.Duration }

// coldWorld is a host with servers of several eras.
type coldWorld struct {
	h       *lab.Host
	servers []*scene.Upstream
}

func coldName(i int) string { return fmt.Sprintf("s%d.test", i) }

func coldAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 12, byte(i + 1)}) }

func newColdWorld(t *scene.Trial) *coldWorld {
	w := &coldWorld{h: t.Host("host")}
	names := map[string]netip.Addr{}
	for i := range 30 {
		names[coldName(i)] = coldAddr(i)
	}
	t.Check(w.h.SetNames(names))
	return w
}

// add starts servers of an era, the key exchange and the time, and returns them as sources.
func (w *coldWorld) add(t *scene.Trial, n int, e era) (sources string) {
	for range n {
		i := len(w.servers)
		ntp, addr := netip.AddrPortFrom(coldAddr(i), 123), netip.AddrPortFrom(coldAddr(i), 4460)
		u := t.Upstream(w.h, ntp.String())
		u.Shift(e.says)
		t.KeysWith(w.h, u, addr.String(), e.certificate(t, coldName(i)), ntp)
		w.servers = append(w.servers, u)
		sources += scene.NTS(coldName(i))
	}
	return sources
}

func (e era) certificate(t *scene.Trial, name string) tls.Certificate {
	now := time.Now()
	return leaf(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(e.from), now.Add(e.to) }, name)
}

func (w *coldWorld) client(t *scene.Trial, name, how, sources string) *scene.Daemon {
	return t.Daemon(w.h, name, scene.Client+"startup-step-panic-threshold = \"inf\"\nnts-cold-start = \""+how+"\"\n"+sources)
}

// coldStarts begins at a time that is forty days behind that of the servers, as a machine without a clock does. The daemons
// steer clocks of their own, which can be set as that of a machine cannot here.
func coldStarts(t *scene.Trial) {
	w := newColdWorld(t)
	const away = 40 * day
	ahead := era{away - day, away + day, away}
	future := w.add(t, 3, ahead)
	// Of this one nothing can be learnt at first, and its certificate is valid by the wrong clock alone.
	gone := len(w.servers)
	w.servers = append(w.servers, nil)
	held := netip.AddrPortFrom(coldAddr(gone), 4460).String()
	free := t.Listens(w.h, held, func(c net.Conn) { c.Close() })

	present := w.client(t, "present", "bounded", w.add(t, 3, era{-day, day, 0}))
	strict := w.client(t, "strict", "strict", future)
	bounded := w.client(t, "bounded", "bounded", future+scene.NTS(coldName(gone)))
	outvoting := w.client(t, "outvoting", "bounded", future+w.add(t, 1, era{-day, away + 20*day, away + 10*day}))
	contradicted := w.client(t, "contradicted", "bounded", w.add(t, 3, era{away - day, away + day, 2 * away}))
	ancient := w.client(t, "ancient", "bounded", w.add(t, 3, era{-11 * 365 * day, -10 * 365 * day, -10*365*day - day}))
	alone := w.client(t, "alone", "bounded", w.add(t, 1, ahead)+scene.NTS("nobody.test")+scene.NTS("none.test"))

	t.Synchronised(present, 30*time.Second)
	t.Check(set(t, present, 0))
	t.Control("a clock that is right stays right, whatever is allowed of a cold start")
	for _, d := range []*scene.Daemon{bounded, outvoting} {
		t.Synchronised(d, 30*time.Second)
		t.Check(set(t, d, 1))
		if n := strings.Count(d.Text(), "source-provisional"); n < 3 {
			t.Fatal("%s believed certificates that are not valid yet, and said so %d times", d.Name, n)
		}
	}
	free()
	u := t.Upstream(w.h, netip.AddrPortFrom(coldAddr(gone), 123).String())
	t.KeysWith(w.h, u, held, era{-day, day, 0}.certificate(t, coldName(gone)), netip.AddrPortFrom(coldAddr(gone), 123))
	for _, c := range []struct {
		d      *scene.Daemon
		source int
		text   string
	}{
		{strict, 0, "it is valid from"}, {contradicted, 0, "the sources say that it is"}, {ancient, 0, "it is valid from"},
		{bounded, 3, "it is valid from"}, // by the clock that was set
	} {
		t.Eventually(30*time.Second, func() error {
			s, _, err := c.d.Source(c.source)
			if err == nil && !strings.Contains(s.Text, c.text) {
				err = fmt.Errorf("%s: source %d does not say %q: %s", c.d.Name, c.source, c.text, s.Text)
			}
			return err
		})
	}
	t.Samples(alone, 0, 0, 8, 30*time.Second)
	for _, d := range []*scene.Daemon{strict, contradicted, ancient, alone} {
		t.Check(set(t, d, 0))
		if strings.Contains(d.Text(), "stepping the clock") {
			t.Fatal("%s says that it sets the clock, and does not", d.Name)
		}
		if t.MustState(d).Own.Synchronised {
			t.Fatal("%s is synchronised", d.Name)
		}
	}
	if n := len(u.Requests()); n > 0 || u.Exchanges() == 0 {
		t.Fatal("a certificate that is valid by the wrong clock alone was good for %d requests after the clock was set, %d tries", n, u.Exchanges())
	}
	t.Saw("with three servers of a time forty days ahead, whose certificates are not valid yet: strict takes nothing, bounded sets the clock once, and takes only what is valid then from there on; " +
		"one server of three, three that say a time at which their own certificates are not valid, and certificates of before the program was made move nothing; a liar among four is outvoted")
}

// set wants a clock to have been set so many times, and to be right then by the first source.
func set(t *scene.Trial, d *scene.Daemon, times int) error {
	s, state, err := d.Source(0)
	if err == nil && (state.Own.Steps != times || state.Own.Synchronised && (s.Offset == nil || math.Abs(*s.Offset) > 1)) {
		err = fmt.Errorf("%s: set %d times, want %d: %s", d.Name, state.Own.Steps, times, s.Text)
	}
	t.Alive(d.Process)
	return err
}
