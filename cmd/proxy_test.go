package cmd_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/internal/testsocks"
)

// hidden is a server whose names only a proxy knows: that of its key exchange,
// ke.hidden, and that of its NTP server, time.hidden.
func hidden(t *testing.T) (dir, kePort, ntpPort string) {
	t.Helper()
	ca := testcert.NewCA(t)
	chain, _, key := ca.Leaf([]string{"ke.hidden", "localhost"}).Files()
	kePort, ntpPort = port(t, "tcp"), port(t, "udp")
	dir = folder(t, nil)
	put(t, dir, "ca.pem", string(ca.PEM()))
	put(t, dir, "server.toml", fmt.Sprintf(`[observability]
observation-path = ""
[synchronization]
update-system-clock = false
local-stratum = 1
[[server]]
listen = "127.0.0.1:%[1]s"
[[nts-ke-server]]
listen = "127.0.0.1:%[2]s"
certificate-chain-path = %[3]q
private-key-path = %[4]q
ntp-server = "time.hidden"
ntp-port = %[1]s
`, ntpPort, kePort, chain, key))
	start(t, dir, "ntp-daemon", "-c", "server.toml").await("listening for NTS key exchange")
	return dir, kePort, ntpPort
}

// behind is a client whose only source is behind a proxy.
func behind(t *testing.T, dir, address, proxy, password string) *process {
	t.Helper()
	put(t, dir, "client.toml", fmt.Sprintf(`[observability]
observation-path = "client.sock"
log-level = "debug"
[synchronization]
update-system-clock = false
[[source]]
mode = "nts"
address = %q
certificate-authority = "ca.pem"
proxy = %q
proxy-user = "me"
proxy-password = %q
poll-interval-limits = { min = 0, max = 4 }
initial-poll-interval = 0
`, address, proxy, password))
	return start(t, dir, "ntp-daemon", "-c", "client.toml")
}

// All that a source behind a proxy needs goes by the proxy: the key exchange by
// its name, and NTP by the name that this gave. Nobody else knows these names, so
// that nothing was asked of DNS.
func TestCase53KeysAndTimeThroughAProxy(t *testing.T) {
	dir, kePort, ntpPort := hidden(t)
	home := netip.MustParseAddr("127.0.0.1")
	proxy := testsocks.Serve(t, &testsocks.Proxy{
		User: "me", Password: "hush hush", Fragments: true, Hosts: map[string]netip.Addr{"ke.hidden": home, "time.hidden": home},
	})
	p := behind(t, dir, "ke.hidden:"+kePort, proxy.Addr, "hush hush")
	p.await("stratum 1.*code=measurement")
	proxy.HangUp() // a relay that has gone is made anew
	before := p.count("code=measurement")
	for p.count("code=measurement") < before+2 {
		p.await("code=measurement")
	}
	asked := proxy.Asked()
	for _, want := range []string{"connect ke.hidden:" + kePort, "relay", "to time.hidden:" + ntpPort} {
		if !slices.Contains(asked, want) {
			t.Errorf("the proxy was not asked to %s: %v", want, asked)
		}
	}
	p.stop()
	if text := strings.Join(p.lines(), "\n"); strings.Contains(text, "hush") {
		t.Errorf("the password is in the log:\n%s", text)
	}
}

// A proxy that refuses the password, or that relays no UDP, makes its source
// unusable: that is said with what to do, and the source is not asked directly,
// though it could be.
func TestCase53NothingGoesRoundTheProxy(t *testing.T) {
	dir, kePort, _ := hidden(t)
	home := netip.MustParseAddr("127.0.0.1")
	for name, c := range map[string]struct {
		noRelay  bool
		password string
		want     string
	}{
		"wrong password": {false, "hushed", `does not accept the password of .*correct proxy-password`},
		"no relay":       {true, "hush hush", `NTP needs a proxy that relays UDP, as Tor and ssh -D do not`},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := testsocks.Serve(t, &testsocks.Proxy{
				User: "me", Password: "hush hush", NoRelay: c.noRelay, Hosts: map[string]netip.Addr{"localhost": home},
			})
			p := behind(t, dir, "localhost:"+kePort, proxy.Addr, c.password)
			p.await(c.want)
			out, err := ctl(t, dir, "status", "--json", "-c", "client.toml")
			if err != nil || !regexp.MustCompile(c.want).MatchString(out) {
				t.Errorf("%v\n%s", err, out)
			}
			p.stop()
			if asked := proxy.Asked(); len(asked) != 0 {
				t.Errorf("the proxy was asked for %v", asked)
			}
			if p.count("code=source-new") > 0 {
				t.Error("the server was asked directly")
			}
		})
	}
}
