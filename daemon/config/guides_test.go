package config

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// The files in this test are those that ntpd-rs' own guides and its users show, typed anew.

// load parses text that must be good.
func load(t *testing.T, text string) *Config {
	t.Helper()
	c, problems := Parse("ntp.toml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatalf("does not load:\n%v", err)
	}
	return c
}

// warned gives the warnings as text.
func warned(c *Config) []string {
	var lines []string
	for _, w := range c.Warnings {
		lines = append(lines, w.String())
	}
	return lines
}

func TestPoolExampleClient(t *testing.T) {
	c := load(t, `
[[source]]
mode = "nts-pool"
address =  "custom.nts.pool:4460"
certificate-authority = "ca.pem"
count = 2
`)
	s := c.Sources[0]
	if s.Mode != ModeNTSPool || s.Address != (Address{"custom.nts.pool", 4460}) || s.CertificateAuthority != "ca.pem" || s.Count != 2 {
		t.Errorf("source is %+v", s)
	}
	if s.Poll != (Poll{4, 10, 4}) || s.NTPVersion != Version4 {
		t.Errorf("poll %+v, version %d", s.Poll, s.NTPVersion)
	}
	if c.Synchronization.MinimumAgreeingSources != 2 || !c.CanSteer() {
		t.Errorf("two sources want %d to agree", c.Synchronization.MinimumAgreeingSources)
	}
}

func TestPoolExampleServer(t *testing.T) {
	c := load(t, `
[[nts-ke-server]]
listen = "0.0.0.0:8080"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
authorized-pool-server-certificates = ["end.pem"]
accepted-pool-authentication-tokens = ["one of many"]
key-exchange-timeout-ms = 1000
`)
	s := c.NTSKEServers[0]
	if s.Listen != netip.MustParseAddrPort("0.0.0.0:8080") || s.CertificateChainPath != "end.fullchain.pem" || s.PrivateKeyPath != "end.key" {
		t.Errorf("server is %+v", s)
	}
	if !slices.Equal(s.AuthorizedPoolServerCertificates, []string{"end.pem"}) || s.KeyExchangeTimeout != time.Second {
		t.Errorf("server is %+v", s)
	}
	if s.ConcurrentConnections != 512 || s.LonglivedConnections != 51 {
		t.Errorf("connections: %d, %d of them long", s.ConcurrentConnections, s.LonglivedConnections)
	}
	if len(s.AcceptedPoolAuthenticationTokens) != 1 || s.AcceptedPoolAuthenticationTokens[0].Reveal() != "one of many" {
		t.Errorf("tokens are %v", s.AcceptedPoolAuthenticationTokens)
	}
}

func TestOldGuideClient(t *testing.T) {
	c := load(t, `[[peer]]
mode = "nts"
address = "my.private.server"
certificate-authority = "/path/to/server/root/certificate.pem"
`)
	s := c.Sources[0]
	if s.Mode != ModeNTS || s.Address != (Address{"my.private.server", 4460}) || s.CertificateAuthority != "/path/to/server/root/certificate.pem" {
		t.Errorf("source is %+v", s)
	}
	want := []string{"ntp.toml:1:3: source: peer is an older spelling; write source"}
	if got := warned(c); !slices.Equal(got, want) {
		t.Errorf("warnings %q", got)
	}
}

func TestGuideClient(t *testing.T) {
	c := load(t, `
[observability]
log-level = "info"

[[source]]
mode = "nts"
address = "ntpd-rs.test:4460"
certificate-authority = "myCA.pem"

# System parameters used in filtering and steering the clock:
[synchronization]
minimum-agreeing-sources = 1 # because we only have one source
single-step-panic-threshold = 10
startup-step-panic-threshold = { forward = "inf", backward = 86400 }
`)
	y := c.Synchronization
	if y.MinimumAgreeingSources != 1 || y.SingleStepPanic != (StepLimit{10 * time.Second, 10 * time.Second}) || y.StartupStepPanic != (StepLimit{Unlimited, 24 * time.Hour}) {
		t.Errorf("synchronization is %+v", y)
	}
	if len(c.Warnings) != 0 || len(c.Unbuilt) != 0 {
		t.Errorf("warnings %v, unbuilt %v", c.Warnings, c.Unbuilt)
	}
}

func TestOldGuideServer(t *testing.T) {
	c := load(t, `[observability]
log-level = "info"

[[source]]
mode = "pool"
address = "ntpd-rs.pool.ntp.org"
count = 4

[[server]]
listen = "[::]:123"

[synchronization]
single-step-panic-threshold = 1800
startup-step-panic-threshold = { forward="inf", backward = 1800 }
accumulated-threshold = 1800

[[nts-ke-server]]
key-exchange-listen = "[::]:4460"
certificate-chain-path = "ntpd-rs.test.chain"
private-key-path = "ntpd-rs.test.key"

[keyset]
key-storage-path="/tmp/test-nts/nts-keys.dat"
`)
	if c.NTSKEServers[0].Listen != netip.MustParseAddrPort("[::]:4460") || c.Synchronization.AccumulatedStepPanic != 1800*time.Second {
		t.Errorf("config is %+v", c)
	}
	if c.Synchronization.MinimumAgreeingSources != 3 || c.Keyset.KeyStoragePath != "/tmp/test-nts/nts-keys.dat" {
		t.Errorf("config is %+v", c)
	}
	want := []string{
		"ntp.toml:15:1: synchronization.accumulated-step-panic-threshold: accumulated-threshold is an older spelling; write accumulated-step-panic-threshold",
		"ntp.toml:18:1: nts-ke-server.listen: key-exchange-listen is an older spelling; write listen",
	}
	if got := warned(c); !slices.Equal(got, want) {
		t.Errorf("warnings %q", got)
	}
}

func TestManySourcesAndServers(t *testing.T) {
	c := load(t, `
[observability]
log-level = "info"
observation-path = "/var/run/ntpd-rs/observe"

[[source]]
mode = "nts"
address = "virginia.time.system76.com"

[[source]]
mode = "nts"
address = "mmo1.nts.netnod.se"

[[source]]
mode = "nts"
address = "ntppool1.time.nl"

[[source]]
mode = "nts"
address = "ntp1.glypnod.com"

[[source]]
mode = "nts"
address = "ntp3.fau.de"

[synchronization]
single-step-panic-threshold = 1800
startup-step-panic-threshold = { forward="inf", backward = 1800 }
minimum-agreeing-sources = 3
accumulated-step-panic-threshold = 1800

[[server]]
listen = "127.0.0.1:123"

[[server]]
listen = "172.17.0.1:123"

[[server]]
listen = "192.168.121.1:123"

[[server]]
listen = "10.167.131.1:123"

[[server]]
listen = "[::1]:123"
`)
	if len(c.Sources) != 5 || len(c.Servers) != 5 || len(c.Warnings) != 0 || len(c.Unbuilt) != 0 {
		t.Fatalf("%d sources, %d servers, warnings %v, unbuilt %v", len(c.Sources), len(c.Servers), c.Warnings, c.Unbuilt)
	}
	if got := c.Servers[4].Listen; got != netip.MustParseAddrPort("[::1]:123") {
		t.Errorf("the last server listens on %v", got)
	}
	if got := c.Sources[4].Pos; got != (Pos{"ntp.toml", 22, 3}) {
		t.Errorf("the last source is at %v", got)
	}
}
