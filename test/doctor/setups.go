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

// setups are the twenty. A thread "project#N" is an issue or pull request of
// that project on GitHub, and the section says in our own words what was
// reported there.
var setups = []setup{
	{
		// One good source, and nothing ever synchronises: three must agree.
		name: "too few sources", thread: "pendulum-project/ntpd-rs#2045",
		cause: `^FAIL  quorum: .*1 source is configured, and 3 must agree`,
		build: func(w *world, broken bool) error {
			sources := threePlain()
			if broken {
				sources = sources[:1]
			}
			return first(w.serve(nil), w.config("minimum-agreeing-sources = 3", sources...))
		},
	},
	{
		// A list of addresses where one is expected, and an error that does
		// not say so.
		name: "list for one address", thread: "pendulum-project/ntpd-rs#2130",
		cause: `^FAIL  config: .*ntp\.toml:\d+:\d+: server\.listen: .*`,
		build: func(w *world, broken bool) error {
			listen := `"127.0.0.1:123"`
			if broken {
				listen = `["127.0.0.1:123", "127.0.0.2:123"]`
			}
			return first(w.serve(nil), w.config("", append(threePlain(), "[[server]]\nlisten = "+listen)...))
		},
	},
	{
		// A machine with IPv6 only, and a pool's name with IPv4 addresses only.
		name: "IPv6 only, name with IPv4", thread: "abh/ntppool#231",
		cause: `^FAIL  network: .*has only IPv4 addresses`,
		build: func(w *world, broken bool) error {
			return first(w.serve(nil), w.client.IP("-4", "addr", "flush", "dev", "wire0"), w.client.IP("-6", "route", "replace", "fd66:10::/64", "via", "fd66::1"),
				w.client.SetNames(pick(broken, servers[0].four, servers[0].six)), w.config("", plain(servers[0].name)))
		},
	},
	{
		// At boot there is no DNS, and people put servers into /etc/hosts.
		name: "name server is silent", thread: "perexg/satip-axe#109",
		cause: `^FAIL  dns: no name resolves .*10\.66\.10\.53: no answer`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.resolve(allNames(true, false)), w.config("", threePlain()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 53 drop; } }"))
			}
			return err
		},
	},
	{
		// A resolver with a block list answers 127.0.0.1 for a public server.
		name: "resolves to this machine", thread: "pendulum-project/ntpd-rs#2075",
		cause: `^FAIL  dns: one\.alpha\.test: resolves to this machine itself \(127\.0\.0\.1\)`,
		build: func(w *world, broken bool) error {
			names := allNames(true, false)
			if broken {
				names[servers[0].name] = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			}
			return first(w.serve(nil), w.resolve(names), w.config("", plain(servers[0].name)))
		},
	},
	{
		// Two daemons fight for one clock.
		name: "another time daemon", thread: "omniosorg/omnios-build#2576",
		cause: `^(FAIL|WARN)  other-daemon: chronyd `,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.chrony())
			}
			return err
		},
	},
	{
		// The daemon's user may not write where its socket is to be made.
		name: "directory not writable", thread: "pendulum-project/ntpd-rs#1913",
		cause: `^FAIL  files: /run/lab/private/observe: cannot be written`,
		build: func(w *world, broken bool) error {
			w.args = []string{"--user", "nobody"}
			dir := filepath.Join(w.client.Dir, "private")
			err := first(w.serve(nil), os.Mkdir(dir, 0o755), w.config("", threePlain()...))
			if !broken {
				err = first(err, os.Chown(dir, 65534, 65534))
			}
			return first(err, edit(w.client, "ntp.toml", "/run/lab/observe", "/run/lab/private/observe"))
		},
	},
	{
		// A board without a battery starts before the time that it knew last:
		// certificates do not verify, so that there is no time.
		name: "clock behind saved time", thread: "pendulum-project/ntpd-rs#1428",
		cause: `^FAIL  clock: .*before the daemon saved`,
		build: func(w *world, broken bool) error {
			saved := time.Now().Add(-time.Hour)
			if broken {
				saved = time.Now().Add(400 * day)
			}
			state := fmt.Sprintf(`{"version":1,"frequency":1e-5,"frequency_sigma":1e-7,"accumulated_steps":0,"saved_at":%q}`, saved.UTC().Format(time.RFC3339))
			return first(w.serve(nil), write(w.client, "clock.json", state), w.config(`state-path = "/run/lab/clock.json"`, threePlain()...))
		},
	},
	{
		// A home router redirects NTP to itself: plain NTP works, NTS never.
		name: "intercepted by the router", thread: "mitchross/talos-argocd-proxmox#2423",
		cause: `^FAIL  (interception|nts): .*intercepted: `,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.clock("10.66.0.1", 0, 2), w.config("", threeSecure()...))
			if broken {
				err = first(err, w.filter("table ip f { chain pre { type nat hook prerouting priority -100; udp dport 123 redirect to :123; } }"))
			}
			return err
		},
	},
	{
		// A provider drops NTP packets that are longer than usual.
		name: "filtered by length", thread: "RIPE-NCC/ripe-atlas-probe-measurements#6",
		cause: `^FAIL  nts: .*filtered by length`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", threeSecure()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 123 udp length > 100 drop; } }"))
			}
			return err
		},
	},
	{
		// A guest network lets no NTP through.
		name: "UDP 123 filtered", thread: "MichaIng/DietPi#1591",
		cause: `^FAIL  udp-IPv4: UDP port 123: filtered: `,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 123 drop; } }"))
			}
			return err
		},
	},
	{
		// Key exchange times out, and nothing shows that it is tried again.
		name: "TCP 4460 filtered", thread: "pendulum-project/ntpd-rs#2267",
		cause: `^FAIL  nts: .*filtered: TCP port 4460 .* does not answer; plain NTP with it works`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", threeSecure()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; tcp dport 4460 drop; } }"))
			}
			return err
		},
	},
	{
		// The renewal of our own server's certificate has stopped.
		name: "own certificate expired", thread: "pendulum-project/ntpd-rs docs/guide/nts.md",
		cause: `^FAIL  certificate: /run/lab/own\.chain\.pem: expired 3 days ago`,
		build: func(w *world, broken bool) error {
			until := 60 * day
			if broken {
				until = -3*day - time.Hour
			}
			return first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -90*day, until), w.config("", append(threePlain(), ownNTS("own", "own"))...))
		},
	},
	{
		// A certificate from a private authority that the client was not told.
		name: "unknown authority", thread: "opnsense/plugins#5370",
		cause: `^FAIL  nts: .*untrusted: .*authority that this machine does not know`,
		build: func(w *world, broken bool) error {
			sources := threeSecure()
			if broken {
				for i := range sources {
					sources[i] = strings.ReplaceAll(sources[i], `certificate-authority = "/run/lab/ca.pem"`, "")
				}
			}
			return first(w.serve(w.good), w.config("", sources...))
		},
	},
	{
		// A server of a public list has let its certificate expire.
		name: "server's certificate expired", thread: "jauderho/nts-servers#198",
		cause: `^FAIL  nts: one\.alpha\.test port 4460: expired: .*3 days ago`,
		build: func(w *world, broken bool) error {
			leaf := w.good
			if broken {
				leaf = func(dir, name string) error { return w.authority.leaf(dir, name, name, -90*day, -3*day-time.Hour) }
			}
			return first(w.serve(leaf), w.config("", secure(servers[0].name)))
		},
	},
	{
		// A server of a public list goes by another name now.
		name: "server's name mismatch", thread: "jauderho/nts-servers#142",
		cause: `^FAIL  nts: one\.alpha\.test port 4460: name mismatch: `,
		build: func(w *world, broken bool) error {
			leaf := w.good
			if broken {
				leaf = func(dir, name string) error { return w.authority.leaf(dir, name, "renamed.test", -day, 90*day) }
			}
			return first(w.serve(leaf), w.config("", secure(servers[0].name)))
		},
	},
	{
		// In a container there is no right to set the clock.
		name: "no CAP_SYS_TIME", thread: "pendulum-project/ntpd-rs#2322",
		cause: `^FAIL  capability: CAP_SYS_TIME: `,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config(`state-path = ""`, threePlain()...))
			if broken {
				err = first(err, edit(w.client, "ntp.toml", "update-system-clock = false", "update-system-clock = true"))
			}
			return err
		},
	},
	{
		// DHCP names a server that is gone.
		name: "server is gone", thread: "siderolabs/talos#13458",
		cause: `^FAIL  source: 10\.66\.10\.7 \(10\.66\.10\.7:123\): nothing listens`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", plain("10.66.10.7")))
			if !broken {
				err = first(err, w.clock("10.66.10.7", 0, 2))
			}
			return err
		},
	},
	{
		// The server has lost its own time and says so, and monitoring was
		// fooled.
		name: "server not synchronised", thread: "sous-chefs/ntp#161",
		cause: `^FAIL  source: 10\.66\.10\.8 .*not synchronised itself`,
		build: func(w *world, broken bool) error {
			stratum := 2
			if broken {
				stratum = 16
			}
			return first(w.clock("10.66.10.8", 0, stratum), w.config("", plain("10.66.10.8")))
		},
	},
	{
		// A machine wakes up with a clock that is days off, and the daemon
		// stops rather than step it.
		name: "clock off beyond the limit", thread: "pendulum-project/ntpd-rs#195",
		cause: `^FAIL  clock-offset: 3\.0 days ahead of 3 sources`,
		build: func(w *world, broken bool) error {
			off := -2 * time.Second
			if broken {
				off = -3 * day
			}
			return first(w.clock("10.66.10.7", off, 1), w.clock("10.66.10.8", off, 1), w.clock("10.66.10.9", off, 1),
				w.config("", plain("10.66.10.7"), plain("10.66.10.8"), plain("10.66.10.9")))
		},
	},
}

// first is the first error there is.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// pick names the first server with one address or the other.
func pick(broken bool, four, six string) map[string]netip.Addr {
	addr := six
	if broken {
		addr = four
	}
	return map[string]netip.Addr{servers[0].name: netip.MustParseAddr(addr)}
}

// edit replaces text in a file of a host.
func edit(h *lab.Host, name, from, to string) error {
	path := filepath.Join(h.Dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("%s does not contain %q", name, from)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), from, to)), 0o644)
}

// ownNTS is a server with NTS of the client's own.
func ownNTS(chain, key string) string {
	return fmt.Sprintf("[[server]]\nlisten = \"127.0.0.1:123\"\n[[nts-ke-server]]\nlisten = \"127.0.0.1:4460\"\ncertificate-chain-path = \"/run/lab/%s.chain.pem\"\nprivate-key-path = \"/run/lab/%s.key\"\n", chain, key)
}

// chrony starts chronyd on the client, from a Debian folder, so that it
// follows a server and leaves the clock alone.
func (w *world) chrony() error {
	if err := write(w.client, "chrony.conf", "server 10.66.10.1 iburst\nport 0\ncmdport 0\nbindcmdaddress /\npidfile /run/lab/chronyd.pid\n"); err != nil {
		return err
	}
	args, err := w.inside("/usr/sbin/chronyd", "-x", "-n", "-u", "root", "-f", "/run/lab/chrony.conf")
	if err != nil {
		return err
	}
	p, err := w.client.Start(lab.Program{Folder: w.debian, Args: args, Log: "chronyd.log"})
	if err != nil {
		return err
	}
	w.running = append(w.running, p)
	return w.eventually(func() error {
		if ended, err := p.Exited(); ended {
			return fmt.Errorf("chronyd ended: %w: %s", err, p.Tail(3))
		}
		if _, err := os.Stat(filepath.Join(w.client.Dir, "chronyd.pid")); err != nil {
			return err
		}
		return nil
	})
}
