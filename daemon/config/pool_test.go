package config

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

const pool = `[nts-pool-ke-server]
listen = "0.0.0.0:4460"
certificate-authority-path = "ca.pem"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
key-exchange-servers = [
    { domain = "nts.server.1", port = 8081 },
    { domain = "nts.server.2", port = 8080 },
]
`

func TestParsePool(t *testing.T) {
	c, problems := ParsePool("pool.toml", []byte(pool+"key-exchange-timeout-ms = 1500\n[observability]\nlog-level = \"debug\"\n"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if c.Listen != netip.MustParseAddrPort("0.0.0.0:4460") || c.CertificateAuthorityPath != "ca.pem" || c.CertificateChainPath != "end.fullchain.pem" ||
		c.PrivateKeyPath != "end.key" || c.KeyExchangeTimeout != 1500*time.Millisecond || c.LogLevel != "debug" || len(c.Warnings) != 0 {
		t.Errorf("pool is %+v", c)
	}
	if got := fmt.Sprint(c.KeyExchangeServers[0], c.KeyExchangeServers[1]); got != "nts.server.1:8081 nts.server.2:8080" {
		t.Errorf("servers are %s", got)
	}
	if got := c.KeyExchangeServers[1].Pos; got != (Pos{"pool.toml", 8, 5}) {
		t.Errorf("the second server is at %v", got)
	}
	if got := fmt.Sprint(c.Paths()); got != "[{pool.toml:3:1 nts-pool-ke-server.certificate-authority-path ca.pem 1} {pool.toml:4:1 nts-pool-ke-server.certificate-chain-path end.fullchain.pem 2} {pool.toml:5:1 nts-pool-ke-server.private-key-path end.key 3}]" {
		t.Errorf("paths are %s", got)
	}
}

func TestPoolDefaults(t *testing.T) {
	c, problems := ParsePool("pool.toml", []byte(pool))
	if err := problems.Err(); err != nil || c.KeyExchangeTimeout != 4500*time.Millisecond || c.ConcurrentConnections != 20000 || c.KeyExchangeServers[0].Weight != 1 || c.LogLevel != "info" {
		t.Errorf("%v, pool is %+v", err, c)
	}
}

func TestPoolProblems(t *testing.T) {
	const head = "[nts-pool-ke-server]\nlisten = \"0.0.0.0:4460\"\ncertificate-authority-path = \"ca\"\ncertificate-chain-path = \"chain\"\nprivate-key-path = \"key\"\n"
	for _, b := range []struct{ name, text, want string }{
		{"nothing", "", "p:1:1: nts-pool-ke-server: is missing; add [nts-pool-ke-server]"},
		{"empty section", "[nts-pool-ke-server]\n", `p:1:2: nts-pool-ke-server.certificate-authority-path: is missing; add certificate-authority-path = path
p:1:2: nts-pool-ke-server.certificate-chain-path: is missing; add certificate-chain-path = path
p:1:2: nts-pool-ke-server.key-exchange-servers: is missing; add [[nts-pool-ke-server.key-exchange-servers]]
p:1:2: nts-pool-ke-server.listen: is missing; add listen = "ip:port"
p:1:2: nts-pool-ke-server.private-key-path: is missing; add private-key-path = path`},
		{"no servers", head + "key-exchange-servers = []\n", `p:6:1: nts-pool-ke-server.key-exchange-servers: is empty; list at least one { domain = "time.example", port = 4460 }`},
		{"half a server", head + "key-exchange-servers = [{ domain = \"a\" }]\n", "p:6:25: nts-pool-ke-server.key-exchange-servers.port: is missing; add port = integer from 1 to 65535"},
		{"servers in brackets", head + "[[nts-pool-ke-server.key-exchange-servers]]\ndomain = \"a:1\"\nport = 0\n",
			`p:7:10: nts-pool-ke-server.key-exchange-servers.domain: "a:1" is not a host name or IP address; write it without a port and without brackets
p:8:8: nts-pool-ke-server.key-exchange-servers.port: 0 is out of range; it goes from 1 to 65535`},
		{"a directory that is no path", head + "key-exchange-servers-directory = 7\n", "p:6:34: nts-pool-ke-server.key-exchange-servers-directory: expected a string, found 7; write it in quotes"},
		{"two tokens", head + "key-exchange-servers = [{ domain = \"a\", port = 1, token = \"hush\", token-file = \"f\" }]\n",
			"p:6:67: nts-pool-ke-server.key-exchange-servers.token-file: is there beside token; keep one of them"},
		{"a token that is no text", head + "key-exchange-servers = [{ domain = \"a\", port = 1, token = 7, weight = -1 }]\n",
			`p:6:59: nts-pool-ke-server.key-exchange-servers.token: expected a string, found an integer; write it in quotes
p:6:71: nts-pool-ke-server.key-exchange-servers.weight: -1 is out of range; it goes from 0 to 1000000`},
		{"a daemon's key", head + "key-exchange-servers = [{ domain = \"a\", port = 1 }]\n[observability]\nlog-path = \"x\"\n", "p:8:1: observability.log-path: unknown key; known here: log-level, status-path, status-permissions, metrics-listen, access-log-path, access-log-addresses"},
		{"a country in words", head + "key-exchange-servers = [{ domain = \"a\", port = 1, country = \"nl\" }, { domain = \"b\", port = 1, country = \"EU1\" }]\n",
			`p:6:61: nts-pool-ke-server.key-exchange-servers.country: "nl" is not a country code; write two capital letters such as "NL"
p:6:105: nts-pool-ke-server.key-exchange-servers.country: "EU1" is not a country code; write two capital letters such as "NL"`},
		{"a resolver elsewhere", head + "discovery-domains = [\"members.example\"]\ndiscovery-resolver = \"192.0.2.53:53\"\n",
			"p:7:1: nts-pool-ke-server.discovery-resolver: 192.0.2.53:53 is not on this machine; what it says could be forged on the way; run a validating resolver here"},
		{"no domains", head + "discovery-domains = []\n", "p:1:2: nts-pool-ke-server.key-exchange-servers: is missing; add [[nts-pool-ke-server.key-exchange-servers]]"},
		{"limits", head + "key-exchange-servers-directory = \"d\"\nowner-percent = 0\nshards = 17\nbalancers = [\"10.0.0.1/33\"]\nreload-seconds = -1\n",
			`p:7:17: nts-pool-ke-server.owner-percent: 0 is out of range; it goes from 1 to 100
p:8:10: nts-pool-ke-server.shards: 17 is out of range; it goes from 0 to 16
p:9:14: nts-pool-ke-server.balancers: the length of "10.0.0.1/33" is not a number from 0 to 32; write "192.0.2.0/24" or "2001:db8::/32"
p:10:18: nts-pool-ke-server.reload-seconds: -1 is out of range; it goes from 0 to 86400`},
		{"a daemon's file", "[[source]]\nmode = \"server\"\naddress = \"a\"\n",
			"p:1:1: nts-pool-ke-server: is missing; add [nts-pool-ke-server]\np:1:3: source: unknown key; known here: nts-pool-ke-server, observability"},
	} {
		t.Run(b.name, func(t *testing.T) {
			_, problems := ParsePool("p", []byte(b.text))
			if got := problems.Error(); got != b.want {
				t.Errorf("got\n%s\nwant\n%s", got, b.want)
			}
		})
	}
}

func TestPoolServerTwice(t *testing.T) {
	if _, problems := ParsePool("p", []byte(pool+"[[nts-pool-ke-server.x]]\n")); problems.Err() == nil {
		t.Error("an unknown table is accepted")
	}
	const twice = "[nts-pool-ke-server]\nlisten = \"0.0.0.0:4460\"\ncertificate-authority-path = \"ca\"\ncertificate-chain-path = \"chain\"\nprivate-key-path = \"key\"\n" +
		"key-exchange-servers = [{ domain = \"a\", port = 1 }, { domain = \"a\", port = 2 }, { domain = \"a\", port = 1 }]\n"
	c, problems := ParsePool("p", []byte(twice))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(c.KeyExchangeServers) != 3 || len(c.Warnings) != 1 || c.Warnings[0].String() != "p:6:81: nts-pool-ke-server.key-exchange-servers: a:1 is listed twice, first at line 6" {
		t.Errorf("servers %v, warnings %v", c.KeyExchangeServers, c.Warnings)
	}
}

func TestPoolServerKeys(t *testing.T) {
	c, problems := ParsePool("p", []byte(pool[:len(pool)-2]+`    { domain = "c", port = 1, token = "hush", weight = 0, owner = "them", location = "there" },
    { domain = "d", port = 1, token-file = "d.token", weight = 9 },
]
concurrent-connections = 7
key-exchange-servers-directory = "more"
`))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if c.ConcurrentConnections != 7 || c.ServersDirectory != "more" {
		t.Errorf("pool is %+v", c)
	}
	third, fourth := c.KeyExchangeServers[2], c.KeyExchangeServers[3]
	if third.Token.Reveal() != "hush" || third.Weight != 0 || third.Owner != "them" || third.Location != "there" || third.TokenFile != "" {
		t.Errorf("third is %+v", third)
	}
	if fourth.Token.Reveal() != "" || fourth.TokenFile != "d.token" || fourth.Weight != 9 {
		t.Errorf("fourth is %+v", fourth)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "hush") {
		t.Error("the token shows")
	}
}

func TestPoolOperation(t *testing.T) {
	c, problems := ParsePool("p", []byte(pool+`discovery-domains = ["members.example", "more.example"]
discovery-resolver = "[::1]:5353"
discovery-secret-file = "secret"
balancers = ["10.0.0.0/8", "2001:db8::/32"]
geolocation-path = "geo.mmdb"
owner-percent = 35
shards = 4
reload-seconds = 0
[observability]
status-path = "pool.sock"
status-permissions = 0o600
metrics-listen = "127.0.0.1:9976"
access-log-path = "access.log"
access-log-addresses = true
`))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(c.DiscoveryDomains, c.DiscoveryResolver, c.DiscoverySecretFile, c.Balancers, c.GeolocationPath, c.OwnerPercent, c.Shards, c.ReloadInterval); got !=
		"[members.example more.example] [::1]:5353 secret [10.0.0.0/8 2001:db8::/32] geo.mmdb 35 4 0s\n" {
		t.Errorf("pool is %s", got)
	}
	if got := fmt.Sprintln(c.StatusPath, c.StatusPermissions, c.MetricsListen, c.AccessLogPath, c.AccessLogAddresses, c.AtObservability("metrics-listen")); got !=
		"pool.sock 384 127.0.0.1:9976 access.log true p:21:1\n" {
		t.Errorf("observability is %s", got)
	}
	c, problems = ParsePool("p", []byte(pool))
	if err := problems.Err(); err != nil || c.OwnerPercent != 100 || c.Shards != 0 || c.ReloadInterval != 5*time.Second || c.DiscoveryResolver.String() != "127.0.0.1:53" ||
		c.StatusPath != "" || c.StatusPermissions != 0o660 || c.MetricsListen.IsValid() || c.AccessLogPath != "" || c.AccessLogAddresses {
		t.Errorf("%v, by default %+v", err, c)
	}
	// Discovered servers are enough.
	c, problems = ParsePool("p", []byte("[nts-pool-ke-server]\nlisten = \"0.0.0.0:4460\"\ncertificate-authority-path = \"ca\"\ncertificate-chain-path = \"chain\"\nprivate-key-path = \"key\"\ndiscovery-domains = [\"members.example\"]\n"))
	if err := problems.Err(); err != nil || len(c.KeyExchangeServers) != 0 {
		t.Errorf("%v, servers %v", err, c.KeyExchangeServers)
	}
}

// A directory alone is enough, and so is an empty list beside it.
func TestPoolServersInADirectory(t *testing.T) {
	const head = "[nts-pool-ke-server]\nlisten = \"0.0.0.0:4460\"\ncertificate-authority-path = \"ca\"\ncertificate-chain-path = \"chain\"\nprivate-key-path = \"key\"\nkey-exchange-servers-directory = \"more\"\n"
	for _, list := range []string{"", "key-exchange-servers = []\n"} {
		if _, problems := ParsePool("p", []byte(head+list)); problems.Err() != nil {
			t.Error(problems)
		}
	}
	servers, warnings, problems := ParsePoolServers("f.toml", []byte("[[key-exchange-servers]]\ndomain = \"a\"\nport = 1\nweight = 3\n[[key-exchange-servers]]\ndomain = \"a\"\nport = 1\n"))
	if err := problems.Err(); err != nil || len(servers) != 2 || servers[0].Weight != 3 || servers[1].Weight != 1 || len(warnings) != 1 {
		t.Errorf("%v, servers %v, warnings %v", err, servers, warnings)
	}
	if servers, _, problems := ParsePoolServers("f.toml", nil); problems.Err() != nil || len(servers) != 0 {
		t.Errorf("an empty file: %v, %v", servers, problems)
	}
	_, _, problems = ParsePoolServers("f.toml", []byte("[nts-pool-ke-server]\n[[key-exchange-servers]]\ndomain = \"a\"\n"))
	want := `f.toml:1:2: nts-pool-ke-server: unknown key; known here: key-exchange-servers
f.toml:2:3: key-exchange-servers.port: is missing; add port = integer from 1 to 65535`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The files in the cluster's config map are good ones.
func TestPoolInACluster(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kubernetes/nts-pool-ke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) []byte {
		var b strings.Builder
		inside := false
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.TrimSpace(line) == name+": |":
				inside = true
			case inside && !strings.HasPrefix(line, "    ") && strings.TrimSpace(line) != "":
				return []byte(b.String())
			case inside:
				b.WriteString(strings.TrimPrefix(line, "    "))
			}
		}
		t.Fatalf("there is no %s", name)
		return nil
	}
	c, problems := ParsePool("pool.toml", file("pool.toml"))
	if err := problems.Err(); err != nil || c.ServersDirectory != "/config" || !c.MetricsListen.IsValid() || c.StatusPath == "" {
		t.Errorf("%v, pool is %+v", err, c)
	}
	servers, _, problems := ParsePoolServers("members.toml", file("members.toml"))
	if err := problems.Err(); err != nil || len(servers) != 2 || servers[1].TokenFile != "/secrets/time2.token" {
		t.Errorf("%v, members are %v", err, servers)
	}
}
