package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// unforeseen are set-ups that were made up after doctor was written, as a
// stranger would meet them.
var unforeseen = []setup{
	{name: "server says leap 3", cause: `^FAIL  source: 10\.66\.10\.8 .*not synchronised itself`,
		build: func(w *world, broken bool) error {
			if broken {
				return first(w.odd("leap", "10.66.10.8:123"), w.answers("10.66.10.8"), w.config("", plain("10.66.10.8")))
			}
			return first(w.clock("10.66.10.8", 0, 2), w.config("", plain("10.66.10.8")))
		}},
	{name: "RATE for ever", cause: `^FAIL  source: 10\.66\.10\.8 .*RATE`,
		build: func(w *world, broken bool) error {
			stratum := 2
			if broken {
				stratum = 0
			}
			return first(w.oddClock("10.66.10.8", 0, stratum, 0, "RATE"), w.config("", plain("10.66.10.8")))
		}},
	{name: "certificate not valid yet", cause: `^FAIL  nts: one\.alpha\.test port 4460: not valid yet`,
		build: func(w *world, broken bool) error {
			leaf := w.good
			if broken {
				leaf = func(dir, name string) error { return w.authority.leaf(dir, name, name, 2*day, 90*day) }
			}
			return first(w.serve(leaf), w.config("", secure(servers[0].name)))
		}},
	{name: "another service on 4460", cause: `^FAIL  nts: one\.alpha\.test port 4460: .*does not speak TLS`,
		build: func(w *world, broken bool) error { return w.exchange(broken, "banner") }},
	{name: "web server on 4460", cause: `^FAIL  nts: one\.alpha\.test port 4460: .*not a key exchange`,
		build: func(w *world, broken bool) error { return w.exchange(broken, "https") }},
	{name: "key exchange names a dead server", cause: `^FAIL  nts: one\.alpha\.test port 4460: .*10\.66\.10\.9`,
		build: func(w *world, broken bool) error {
			named := "10.66.10.1"
			if broken {
				named = "10.66.10.9"
			}
			return first(w.serveNaming(named), w.config("", secure(servers[0].name)))
		}},
	{name: "replies are filtered", cause: `^FAIL  udp-IPv4: UDP port 123: filtered: `,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, w.filter("table inet f { chain out { type filter hook output priority 0; udp sport 123 drop; } }"))
			}
			return err
		}},
	{name: "log on a read-only disk", cause: `^FAIL  files: /run/lab/var/ntp\.log: cannot be written: .*read-only`,
		build: func(w *world, broken bool) error {
			w.mounts = "mkdir -p /run/lab/var; mount -t tmpfs -o rw none /run/lab/var"
			if broken {
				w.mounts = "mkdir -p /run/lab/var; mount -t tmpfs -o ro none /run/lab/var"
			}
			return first(w.serve(nil), w.config("", threePlain()...), edit(w.client, "ntp.toml", "[observability]\n", "[observability]\nlog-path = \"/run/lab/var/ntp.log\"\n"))
		}},
	{name: "disk full", cause: `^FAIL  files: /run/lab/var/ntp\.log: cannot be written: .*full`,
		build: func(w *world, broken bool) error {
			w.mounts = "mkdir -p /run/lab/var; mount -t tmpfs -o size=16k none /run/lab/var"
			if broken {
				w.mounts += "; cat /dev/zero > /run/lab/var/fill 2>/dev/null || true"
			}
			return first(w.serve(nil), w.config("", threePlain()...), edit(w.client, "ntp.toml", "[observability]\n", "[observability]\nlog-path = \"/run/lab/var/ntp.log\"\n"))
		}},
	{name: "typo in a key", cause: `^FAIL  config: /run/lab/ntp\.toml:\d+:\d+: .*did you mean .?address`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...))
			if broken {
				err = first(err, edit(w.client, "ntp.toml", "address = \"one", "adddress = \"one"))
			}
			return err
		}},
	{name: "guest tools of a hypervisor", cause: `^(FAIL|WARN)  other-daemon: VBoxService `,
		build: func(w *world, broken bool) error {
			name := "innocent"
			if broken {
				name = "VBoxService"
			}
			args, err := w.inside("/run/lab/"+name, "1000000")
			return first(w.serve(nil), w.config("", threePlain()...), copyFile("/bin/sleep", filepath.Join(w.client.Dir, name)), err, w.start(w.client, name+".log", args...),
				w.eventually(func() error { return w.runs(name) }))
		}},
	{name: "NTP asked on the port of keys", cause: `^FAIL  source: one\.alpha\.test \(10\.66\.10\.1:4460\): .*port 123 answers`,
		build: func(w *world, broken bool) error {
			source := servers[0].name
			if broken {
				source += ":4460"
			}
			return first(w.serve(w.good), w.config("", plain(source)))
		}},
	{name: "NTS from a server that has none", cause: `^FAIL  nts: one\.alpha\.test port 4460: .*nothing listens on TCP port 4460`,
		build: func(w *world, broken bool) error {
			leaf := w.good
			if broken {
				leaf = nil
			}
			return first(w.serve(leaf), w.config("", secure(servers[0].name)))
		}},
	{name: "NTS by address", cause: `^FAIL  nts: 10\.66\.10\.1 port 4460: name mismatch: `,
		build: func(w *world, broken bool) error {
			source := servers[0].name
			if broken {
				source = servers[0].four
			}
			return first(w.serve(w.good), w.config("", secure(source)))
		}},
	{name: "long TCP packets are lost", cause: `^FAIL  nts: one\.alpha\.test port 4460: .*the TLS handshake gets no answer`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(w.good), w.config("", secure(servers[0].name)))
			if broken {
				err = first(err, w.filter("table inet f { chain out { type filter hook output priority 0; tcp sport 4460 meta length > 500 drop; } }"))
			}
			return err
		}},
	{name: "one server under three names", cause: `^WARN  operators: two\.beta\.test: is the same server as one\.alpha\.test`,
		build: func(w *world, broken bool) error {
			names := allNames(true, false)
			if broken {
				names[servers[1].name] = names[servers[0].name]
				names[servers[2].name] = names[servers[0].name]
			}
			return first(w.serve(nil), w.resolve(names), w.config("", threePlain()...))
		}},
	{name: "stale line in hosts", cause: `^FAIL  dns: one\.alpha\.test: .*/etc/hosts`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.resolve(allNames(true, false)), w.config("", plain(servers[0].name)))
			if broken {
				err = first(err, w.client.SetNames(map[string]netip.Addr{servers[0].name: netip.MustParseAddr("10.66.10.9")}))
			}
			return err
		}},
	{name: "captive portal answers all names", cause: `^FAIL  dns: all 3 names of 3 domains resolve to 10\.66\.0\.1`,
		build: func(w *world, broken bool) error {
			names := allNames(true, false)
			if broken {
				for n := range names {
					names[n] = []netip.Addr{netip.MustParseAddr("10.66.0.1")}
				}
			}
			return first(w.serve(nil), w.resolve(names), w.config("", threePlain()...))
		}},
	{name: "name server fails", cause: `^FAIL  dns: no name resolves .*10\.66\.10\.53: .*server misbehaving`,
		build: func(w *world, broken bool) error {
			if broken {
				return first(w.serve(nil), w.client.SetNames(nil), w.client.SetResolver(netip.MustParseAddr("10.66.10.53")), w.odd("servfail", "10.66.10.53:53"), w.config("", threePlain()...))
			}
			return first(w.serve(nil), w.resolve(allNames(true, false)), w.config("", threePlain()...))
		}},
	{name: "chain without its middle", cause: `^FAIL  nts: one\.alpha\.test port 4460: untrusted: .*intermediate`,
		build: func(w *world, broken bool) error {
			return first(w.serve(func(dir, name string) error { return w.authority.below(dir, name, !broken) }), w.config("", secure(servers[0].name)))
		}},
	{name: "own stratum is no worse", cause: `^FAIL  source: 10\.66\.10\.8 .*local-stratum`,
		build: func(w *world, broken bool) error {
			lines := "local-stratum = 5"
			if broken {
				lines = "local-stratum = 1"
			}
			return first(w.clock("10.66.10.8", 0, 2), w.config(lines, plain("10.66.10.8")))
		}},
	{name: "key with a passphrase", cause: `^FAIL  certificate: .*passphrase`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.authority.leaf(w.client.Dir, "own", "own.test", -day, 90*day), w.config("", append(threePlain(), ownNTS("own", "own"))...))
			if broken {
				_, failed := w.client.Output(lab.Program{Args: []string{"sh", "-ec", "cd /run/lab; openssl pkcs8 -topk8 -in own.key -passout pass:secret -out locked.key; mv locked.key own.key"}})
				err = first(err, failed)
			}
			return err
		}},
	{name: "daemon hangs", cause: `^FAIL  daemon: /run/lab/observe: ntp-daemon .* runs, but does not answer`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", threePlain()...), w.ourDaemon())
			if !broken || err != nil {
				return err
			}
			args, err := w.inside("sh", "-ec", `kill -STOP "$(pidof ntp-daemon)"`)
			if err == nil {
				_, err = w.client.Output(lab.Program{Args: args})
			}
			return err
		}},
	{name: "echo service on 123", cause: `^FAIL  source: 10\.66\.10\.8 .*sends back what it gets`,
		build: func(w *world, broken bool) error {
			if broken {
				return first(w.odd("echo", "10.66.10.8:123"), w.config("", plain("10.66.10.8")))
			}
			return first(w.clock("10.66.10.8", 0, 2), w.config("", plain("10.66.10.8")))
		}},
	{name: "replies to other requests", cause: `^FAIL  source: 10\.66\.10\.8 .*replies that match no request`,
		build: func(w *world, broken bool) error {
			if broken {
				return first(w.odd("stranger", "10.66.10.8:123"), w.config("", plain("10.66.10.8")))
			}
			return first(w.clock("10.66.10.8", 0, 2), w.config("", plain("10.66.10.8")))
		}},
	{name: "IPv6 address, machine without", cause: `^FAIL  network: .*fd66:10::1`,
		build: func(w *world, broken bool) error {
			err := first(w.serve(nil), w.config("", plain(servers[0].six)))
			if broken {
				err = first(err, w.client.IP("-6", "addr", "flush", "scope", "global"), w.client.IP("-6", "route", "flush", "default"))
			}
			return err
		}},
}

// exchange is a client of one key exchange, which another server may stand in
// for.
func (w *world) exchange(broken bool, kind string) error {
	if !broken {
		return first(w.serve(w.good), w.config("", secure(servers[0].name)))
	}
	at := servers[0].four + ":4460"
	return first(w.serve(nil), w.good(w.internet.Dir, servers[0].name),
		w.odd(kind, at, "/run/lab/"+servers[0].name+".chain.pem", "/run/lab/"+servers[0].name+".key"),
		w.eventually(func() error { return w.client.Connect(netip.MustParseAddrPort(at)) }), w.config("", secure(servers[0].name)))
}

// serveNaming starts a server whose key exchange names an NTP server.
func (w *world) serveNaming(named string) error {
	s := servers[0]
	text := fmt.Sprintf("[observability]\nobservation-path = \"\"\n[synchronization]\nlocal-stratum = 1\nupdate-system-clock = false\n[[server]]\nlisten = \"%[1]s:123\"\n"+
		"[[nts-ke-server]]\nlisten = \"%[1]s:4460\"\nntp-server = %[3]q\ncertificate-chain-path = \"/run/lab/%[2]s.chain.pem\"\nprivate-key-path = \"/run/lab/%[2]s.key\"\n", s.four, s.name, named)
	return first(w.good(w.internet.Dir, s.name), write(w.internet, "naming.toml", text),
		w.start(w.internet, "naming.log", filepath.Join(w.bin, "ntp-daemon"), "-c", lab.RunDir+"/naming.toml"), w.answers(s.four))
}

// below writes a certificate for name that an intermediate authority signed;
// the chain may be without it.
func (a *authority) below(dir, name string, whole bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template("middle", -day, 300*day)
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	middle := &authority{key, cert}
	if err := middle.leaf(dir, name, name, -day, 90*day); err != nil || whole {
		return err
	}
	file := filepath.Join(dir, name+".chain.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const end = "-----END CERTIFICATE-----\n"
	leaf, _, _ := strings.Cut(string(text), end)
	return os.WriteFile(file, []byte(leaf+end), 0o644)
}
