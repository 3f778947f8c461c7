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

// further are set-ups beyond the twenty, one for most of what doctor looks at
// besides.
var further = []setup{
	{name: "sources disagree", cause: `^FAIL  agreement: 2 sources give times that do not fit together`,
		build: func(w *world, broken bool) error {
			off := time.Duration(0)
			if broken {
				off = 5 * time.Second
			}
			return first(w.clock("10.66.10.7", 0, 1), w.clock("10.66.10.8", off, 1), w.config("", plain("10.66.10.7"), plain("10.66.10.8")))
		}},
	{name: "one falseticker of three", cause: `^WARN  agreement: 10\.66\.10\.9: falseticker`,
		build: func(w *world, broken bool) error {
			off := time.Duration(0)
			if broken {
				off = time.Second
			}
			return first(w.clock("10.66.10.7", 0, 1), w.clock("10.66.10.8", 0, 1), w.clock("10.66.10.9", off, 1),
				w.config("", plain("10.66.10.7"), plain("10.66.10.8"), plain("10.66.10.9")))
		}},
	{name: "key of another certificate", cause: `^FAIL  certificate: .*does not belong to the certificate`,
		build: func(w *world, broken bool) error {
			key := "own"
			if broken {
				key = "other"
			}
			return first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -day, 90*day), w.authority.leaf(w.client.Dir, "other", "own.test", -day, 90*day),
				w.config("", append(threePlain(), ownNTS("own", key))...))
		}},
	{name: "port taken", cause: `^FAIL  port: udp 127\.0\.0\.1:123: taken by ntp-ctl|^FAIL  port: udp 127\.0\.0\.1:123: taken by scen|^FAIL  port: udp 127\.0\.0\.1:123: taken by doctor`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", append(threePlain(), "[[server]]\nlisten = \"127.0.0.1:123\"\n")...))
			if broken {
				err = first(err, w.clientClock("127.0.0.1"))
			}
			return err
		}},
	{name: "own certificate expires soon", cause: `^WARN  certificate: .*expires in 5 days`,
		build: func(w *world, broken bool) error {
			until := 60 * day
			if broken {
				until = 5*day + time.Hour
			}
			return first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -90*day, until), w.config("", append(threePlain(), ownNTS("own", "own"))...))
		}},
	{name: "one operator", cause: `^WARN  operators: alpha\.test: all 3 sources`,
		build: func(w *world, broken bool) error {
			names := []string{"one.alpha.test", "two.beta.test", "three.gamma.test"}
			if broken {
				names = []string{"one.alpha.test", "two.alpha.test", "three.alpha.test"}
			}
			table := map[string]netip.Addr{}
			var sources []string
			for i, n := range names {
				table[n] = netip.MustParseAddr(servers[i].four)
				sources = append(sources, plain(n))
			}
			return first(w.serve(nil), w.client.SetNames(table), w.config("", sources...))
		}},
	{name: "denied", cause: `^FAIL  source: one\.alpha\.test .*DENY`,
		build: func(w *world, broken bool) error {
			stratum := 2
			if broken {
				stratum = 0
			}
			return first(w.oddClock("10.66.10.1", 0, stratum, 0, "DENY"), w.config("", plain(servers[0].name)))
		}},
	{name: "server far from true time", cause: `^FAIL  source: one\.alpha\.test .*root distance`,
		build: func(w *world, broken bool) error {
			dispersion := 0.1
			if broken {
				dispersion = 3
			}
			return first(w.oddClock("10.66.10.1", 0, 3, dispersion, "XXXX"), w.config("", plain(servers[0].name)))
		}},
	{name: "IPv6 filtered", cause: `^WARN  udp-IPv6: .*filtered`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.resolve(allNames(true, true)), w.config("", threePlain()...))
			if broken {
				err = first(err, w.filter("table ip6 f { chain in { type filter hook input priority 0; udp dport 123 drop; } }"))
			}
			return err
		}},
	{name: "NTP filtered, key exchange not", cause: `^FAIL  udp-IPv4: .*filtered: no answer .*although TCP to 10\.66\.10\.1:4460 works`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", secure(servers[0].name)))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 123 drop; } }"))
			}
			return err
		}},
	{name: "name does not exist", cause: `^FAIL  dns: one\.alpha\.test: does not resolve: there is no such name`,
		build: func(w *world, broken bool) error {
			names := allNames(true, false)
			if broken {
				delete(names, servers[0].name)
			}
			return first(w.serve(nil), w.resolve(names), w.config("", plain(servers[0].name)))
		}},
	{name: "no name server configured", cause: `^FAIL  dns: /etc/resolv\.conf: names no name server`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.resolve(allNames(true, false)), w.config("", threePlain()...))
			if broken {
				err = first(err, write(w.client, "resolv.conf", "options timeout:1 attempts:1\n"))
			}
			return err
		}},
	{name: "own firewall", cause: `^FAIL  local-firewall: .*this machine does not let the request out`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, write(w.client, "rules.nft", "table inet f {\nchain out {\ntype filter hook output priority 0; udp dport 123 drop;\n}\n}\n"))
				if err == nil {
					_, err = w.client.Output(lab.Program{Args: []string{"nft", "-f", lab.RunDir + "/rules.nft"}})
				}
			}
			return err
		}},
	{name: "source is this machine", cause: `^FAIL  source: 10\.66\.0\.2: .*this machine`,
		build: func(w *world, broken bool) error {
			source := "10.66.10.1"
			if broken {
				source = "10.66.0.2"
			}
			return first(w.serve(nil), w.config("", plain(source), "[[server]]\nlisten = \"0.0.0.0:123\"\n"))
		}},
	{name: "key readable for all", cause: `^WARN  permissions: /run/lab/own\.key: mode 0644`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -day, 90*day), w.config("", append(threePlain(), ownNTS("own", "own"))...))
			if broken {
				err = first(err, os.Chmod(filepath.Join(w.client.Dir, "own.key"), 0o644))
			}
			return err
		}},
	{name: "no default route", cause: `^FAIL  network: no route to any source`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.client.IP("route", "del", "default"))
			}
			return err
		}},
	{name: "authority's file is missing", cause: `^FAIL  files: /run/lab/ca\.pem: does not exist`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", threeSecure()...))
			if broken {
				err = first(err, os.Remove(filepath.Join(w.client.Dir, "ca.pem")))
			}
			return err
		}},
	{name: "cookie keys not shared", cause: `^FAIL  nts: .*does not accept the cookies`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", secure(servers[0].name)))
			if broken {
				err = first(err, write(w.internet, "alien.toml", "[observability]\nobservation-path = \"\"\n[synchronization]\nlocal-stratum = 1\nupdate-system-clock = false\n[[server]]\nlisten = \"10.66.10.9:123\"\n"+
					"[[nts-ke-server]]\nlisten = \"10.66.10.9:4460\"\ncertificate-chain-path = \"/run/lab/one.alpha.test.chain.pem\"\nprivate-key-path = \"/run/lab/one.alpha.test.key\"\nntp-server = \"10.66.10.2\"\n"),
					w.start(w.internet, "alien.log", filepath.Join(w.bin, "ntp-daemon"), "-c", lab.RunDir+"/alien.toml"), w.answers("10.66.10.9"),
					w.client.SetNames(map[string]netip.Addr{servers[0].name: netip.MustParseAddr("10.66.10.9")}))
			}
			return err
		}},
	{name: "one server of three is gone", cause: `^WARN  source: 10\.66\.10\.7 .*nothing listens`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", plain(servers[0].name), plain(servers[1].name), plain("10.66.10.7")))
			if !broken {
				err = first(err, w.clock("10.66.10.7", 0, 2))
			}
			return err
		}},
	{name: "timesyncd", cause: `^(FAIL|WARN)  other-daemon: systemd-timesyncd `,
		build: func(w *world, broken bool) error {
			name := "innocent"
			if broken {
				name = "systemd-timesyncd"
			}
			args, err := w.inside("/run/lab/"+name, "1000000")
			return first(w.serve(nil), w.config("", threePlain()...), copyFile("/bin/sleep", filepath.Join(w.client.Dir, name)), err, w.start(w.client, name+".log", args...),
				w.eventually(func() error { return w.runs(name) }))
		}},
	{name: "daemon was killed", cause: `^FAIL  daemon: /run/lab/observe: no daemon runs, and one left its socket behind`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.deadSocket())
			}
			return err
		}},
	{name: "only long packets filtered", cause: `^WARN  nts: .*filtered by length: NTS packets of \d+ octets pass, those of \d+ do not`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", threeSecure()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 123 udp length > 700 drop; } }"))
			}
			return err
		}},
	{name: "configuration writable for all", cause: `^WARN  permissions: /run/lab/ntp\.toml: mode 0666`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, os.Chmod(filepath.Join(w.client.Dir, "ntp.toml"), 0o666))
			}
			return err
		}},
	{name: "daemon runs with another file", cause: `^WARN  daemon: .*does not have the sources two\.beta\.test:123`,
		build: func(w *world, broken bool) error {
			sources := threePlain()
			if broken {
				sources = []string{sources[0], sources[2]}
			}
			return first(w.serve(nil), w.config("", sources...), w.ourDaemon(), w.config("", threePlain()...))
		}},
	{name: "served certificate is old", cause: `^FAIL  served: key exchange .*serves another certificate`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -90*day, 20*day), w.config("", append(threePlain(), ownNTS("own", "own"))...), w.ourDaemon())
			if broken {
				err = first(err, w.authority.leaf(w.client.Dir, "own", "own.test", -day, 90*day))
			}
			return err
		}},
	{name: "NTP rejected on the way", cause: `^FAIL  udp-IPv4: UDP port 123: filtered: .*3 are rejected`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.filter("table inet f { chain in { type filter hook input priority 0; udp dport 123 reject with icmpx type admin-prohibited; } }"))
			}
			return err
		}},
	{name: "answers from another address", cause: `^FAIL  source: one\.alpha\.test .*its answers come from 10\.66\.10\.8:123`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", plain(servers[0].name)))
			if broken {
				err = first(err, w.filter("table ip f { chain out { type filter hook output priority 0; ip saddr 10.66.10.1 udp sport 123 ip saddr set 10.66.10.8; } }"))
			}
			return err
		}},
	{name: "pool with NTS", cause: `^FAIL  nts: pool\.delta\.test port 4460: name mismatch`,
		build: func(w *world, broken bool) error {
			name := "pool.delta.test"
			if broken {
				name = "renamed.test"
			}
			return first(w.pool(name), w.config("", "[[source]]\nmode = \"nts-pool\"\naddress = \"pool.delta.test\"\ncount = 3\ncertificate-authority = \"/run/lab/ca.pem\"\n"))
		}},
}

// pool starts three servers and a pool in front of them, whose certificate is
// for this name.
func (w *world) pool(name string) error {
	names := map[string]netip.Addr{"pool.delta.test": netip.MustParseAddr("10.66.10.7")}
	var text strings.Builder
	text.WriteString("[nts-pool-ke-server]\nlisten = \"10.66.10.7:4460\"\ncertificate-authority-path = \"/run/lab/ca.pem\"\ncertificate-chain-path = \"/run/lab/pool.chain.pem\"\nprivate-key-path = \"/run/lab/pool.key\"\nkey-exchange-servers = [\n")
	for _, s := range servers {
		names[s.name] = netip.MustParseAddr(s.four)
		fmt.Fprintf(&text, "{ domain = %q, port = 4460, token = \"hush\" },\n", s.name)
		server := fmt.Sprintf("[observability]\nobservation-path = \"\"\n[synchronization]\nlocal-stratum = 1\nupdate-system-clock = false\n[[server]]\nlisten = \"%[1]s:123\"\n[[nts-ke-server]]\nlisten = \"%[1]s:4460\"\nntp-server = %[2]q\n"+
			"accepted-pool-authentication-tokens = [\"hush\"]\ncertificate-chain-path = \"/run/lab/%[2]s.chain.pem\"\nprivate-key-path = \"/run/lab/%[2]s.key\"\n", s.four, s.name)
		if err := first(w.good(w.internet.Dir, s.name), write(w.internet, s.name+".toml", server),
			w.start(w.internet, s.name+".log", filepath.Join(w.bin, "ntp-daemon"), "-c", lab.RunDir+"/"+s.name+".toml"), w.answers(s.four)); err != nil {
			return err
		}
	}
	return first(w.client.SetNames(names), w.internet.SetNames(names), write(w.internet, "ca.pem", w.authority.pem()), w.authority.leaf(w.internet.Dir, "pool", name, -day, 90*day),
		write(w.internet, "pool.toml", text.String()+"]\n"), w.start(w.internet, "pool.log", filepath.Join(w.bin, "nts-pool-ke"), "-c", lab.RunDir+"/pool.toml"),
		w.eventually(func() error { return w.client.Connect(netip.MustParseAddrPort("10.66.10.7:4460")) }))
}

// clientClock holds UDP port 123 of an address of the client.
func (w *world) clientClock(addr string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args, err := w.inside(self, roleClock, addr+":123", "0", "2", "0", "MINE")
	if err != nil {
		return err
	}
	return first(w.start(w.client, "mine.log", args...), w.eventually(func() error {
		_, err := w.client.Ask(netip.AddrPortFrom(netip.MustParseAddr(addr), 123))
		return err
	}))
}

// ourDaemon starts ntp-daemon on the client and waits until it is
// synchronised.
func (w *world) ourDaemon() error {
	args, err := w.inside(filepath.Join(w.bin, "ntp-daemon"), "-c", lab.RunDir+"/ntp.toml")
	if err != nil {
		return err
	}
	return first(w.start(w.client, "daemon.log", args...), w.eventually(func() error {
		text, err := w.client.Output(lab.Program{Args: []string{filepath.Join(w.bin, "ntp-ctl"), "status", "--json", "-c", lab.RunDir + "/ntp.toml"}})
		if err == nil && !strings.Contains(text, `"state": "synchronised"`) {
			err = fmt.Errorf("not synchronised yet: %s", text)
		}
		return err
	}))
}

// deadSocket leaves a socket that nobody answers.
func (w *world) deadSocket() error {
	const script = `import socket; socket.socket(socket.AF_UNIX).bind("/run/lab/observe")`
	_, err := w.client.Output(lab.Program{Args: []string{"python3", "-c", script}})
	return err
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// runs looks for a process of a name in the client's process namespace.
func (w *world) runs(name string) error {
	args, err := w.inside("pidof", name)
	if err != nil {
		return err
	}
	_, err = w.client.Output(lab.Program{Args: args})
	return err
}
