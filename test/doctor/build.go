package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// commonKeys are in every client's configuration: the machine's own clock is
// not to be touched.
const commonKeys = `[observability]
observation-path = "/run/lab/observe"
[synchronization]
update-system-clock = false
`

// config writes the client's configuration; lines go into [synchronization].
func (w *world) config(lines string, sources ...string) error {
	return write(w.client, "ntp.toml", commonKeys+lines+"\n"+strings.Join(sources, "\n"))
}

// plain is a source without NTS, and secure one with.
func plain(host string) string {
	return fmt.Sprintf("[[source]]\nmode = \"server\"\naddress = %q\n", host)
}

func secure(host string) string {
	return fmt.Sprintf("[[source]]\nmode = \"nts\"\naddress = %q\ncertificate-authority = \"/run/lab/ca.pem\"\n", host)
}

// threePlain and threeSecure are sources of three operators.
func threePlain() []string {
	return []string{plain(servers[0].name), plain(servers[1].name), plain(servers[2].name)}
}

func threeSecure() []string {
	return []string{secure(servers[0].name), secure(servers[1].name), secure(servers[2].name)}
}

// serve starts one daemon of the Internet that serves NTP, and with leaves
// NTS, at the addresses of all good servers. leaf makes the certificate of a
// server of this name; nil is none.
func (w *world) serve(leaf func(dir, name string) error) error {
	var b strings.Builder
	b.WriteString("[observability]\nobservation-path = \"/run/lab/observe\"\n[synchronization]\nlocal-stratum = 1\nupdate-system-clock = false\n")
	for _, s := range servers {
		fmt.Fprintf(&b, "[[server]]\nlisten = \"%s:123\"\n[[server]]\nlisten = \"[%s]:123\"\n", s.four, s.six)
		if leaf == nil {
			continue
		}
		if err := leaf(w.internet.Dir, s.name); err != nil {
			return err
		}
		fmt.Fprintf(&b, "[[nts-ke-server]]\nlisten = \"%s:4460\"\ncertificate-chain-path = \"/run/lab/%s.chain.pem\"\nprivate-key-path = \"/run/lab/%s.key\"\n", s.four, s.name, s.name)
	}
	if err := write(w.internet, "servers.toml", b.String()); err != nil {
		return err
	}
	if err := w.start(w.internet, "servers.log", filepath.Join(w.bin, "ntp-daemon"), "-c", lab.RunDir+"/servers.toml"); err != nil {
		return err
	}
	return w.answers(servers[2].four)
}

// answers waits until an NTP server of the Internet answers to itself.
func (w *world) answers(addr string) error {
	return w.eventually(func() error {
		_, err := w.internet.Ask(netip.AddrPortFrom(netip.MustParseAddr(addr), 123))
		return err
	})
}

// start runs a program until the world ends.
func (w *world) start(h *lab.Host, log string, args ...string) error {
	p, err := h.Start(lab.Program{Args: args, Log: log})
	if err == nil {
		w.running = append(w.running, p)
	}
	return err
}

// good is a certificate for a name from the authority that the client knows.
func (w *world) good(dir, name string) error {
	return w.authority.leaf(dir, name, name, -day, 90*day)
}

// clock starts a server of the Internet that is wrong by some time.
func (w *world) clock(addr string, offset time.Duration, stratum int) error {
	return w.oddClock(addr, offset, stratum, 0, "LIAR")
}

// oddClock is one that says more about itself: dispersion in seconds, and at
// stratum 0 a kiss code.
func (w *world) oddClock(addr string, offset time.Duration, stratum int, dispersion float64, refid string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := w.start(w.internet, "clock-"+addr+".log", self, roleClock, addr+":123", fmt.Sprint(offset.Seconds()), fmt.Sprint(stratum), fmt.Sprint(dispersion), refid); err != nil {
		return err
	}
	return w.answers(addr)
}

// resolve starts a name server of the Internet and makes the client ask it
// for every name.
func (w *world) resolve(names map[string][]netip.Addr) error {
	at := netip.MustParseAddr("10.66.10.53")
	if err := w.client.SetNames(nil); err != nil {
		return err
	}
	if err := w.client.SetResolver(at); err != nil {
		return err
	}
	p, err := w.internet.ServeNames(at, names)
	if err != nil {
		return err
	}
	w.running = append(w.running, p)
	for name := range names {
		return w.eventually(func() error {
			_, err := w.client.Output(lab.Program{Args: []string{"getent", "ahosts", name}})
			return err
		})
	}
	return nil
}

// allNames are the good servers in the DNS, with the families that are asked
// for.
func allNames(four, six bool) map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	for _, s := range servers {
		if four {
			names[s.name] = append(names[s.name], netip.MustParseAddr(s.four))
		}
		if six {
			names[s.name] = append(names[s.name], netip.MustParseAddr(s.six))
		}
	}
	return names
}
