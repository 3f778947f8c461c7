package cmd_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// ntsServer starts a daemon that serves NTP and NTS on loopback and returns a
// folder with its files and the two ports.
func ntsServer(t *testing.T) (dir, ntp, exchange string) {
	t.Helper()
	ntp, exchange = port(t, "udp"), port(t, "tcp")
	dir = folder(t, map[string]string{"s.toml": fmt.Sprintf(`[observability]
observation-path = ""
[[server]]
listen = "127.0.0.1:%s"
[[nts-ke-server]]
listen = "127.0.0.1:%s"
certificate-chain-path = "%s/end.fullchain.pem"
private-key-path = "%s/end.key"
ntp-port = %s
[synchronization]
local-stratum = 1
update-system-clock = false
`, ntp, exchange, keys, keys, ntp)})
	d := start(t, dir, "ntp-daemon", "-c", "s.toml")
	d.await("serving NTP")
	d.await("listening for NTS key exchange")
	awaitTime(t, dir, ntp)
	return dir, ntp, exchange
}

// awaitTime waits until a server that has just begun to listen knows the time.
func awaitTime(t *testing.T, dir, ntp string) {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		out, err := ctl(t, dir, "query", "127.0.0.1:"+ntp)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

func TestQueryAsksARealServer(t *testing.T) {
	dir, ntp, exchange := ntsServer(t)
	// Of a few answers the quickest counts: on a busy machine one may be stamped while the program does not get to run.
	out, err := ctl(t, dir, "query", "--compare", "--count", "8", "--interval", "10ms", "127.0.0.1:"+ntp, "127.0.0.1:"+ntp)
	if err != nil || !strings.Contains(out, "All 2 servers agree") || !strings.Contains(out, "8/8") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = ctl(t, dir, "query", "-4", "--nts", "--json", "--ca", keys+"/testca.pem", "localhost:"+exchange)
	var report struct {
		Status  string
		Servers []struct {
			AEAD string
			Best struct{ Authenticated bool }
		}
	}
	if jsonErr := json.Unmarshal([]byte(out), &report); err != nil || jsonErr != nil || report.Status != "ok" || !report.Servers[0].Best.Authenticated || report.Servers[0].AEAD == "" {
		t.Errorf("%v %v\n%s", err, jsonErr, out)
	}
	if out, err = ctl(t, dir, "query", "-4", "--nts", "localhost:"+exchange); exitCode(err) != 2 || !strings.Contains(out, "unknown authority") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNTSCheckOfARealServer(t *testing.T) {
	dir, _, exchange := ntsServer(t)
	out, err := ctl(t, dir, "nts-check", "-4", "--ca", keys+"/testca.pem", "localhost:"+exchange)
	for _, want := range []string{"localhost: OK: works", "ntske/1", "AES-SIV-CMAC-256 offered alone: supported", "NTP with NTS", "octets: answered"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: no %q in\n%s", err, want, out)
		}
	}
	out, err = ctl(t, dir, "nts-check", "-4", "localhost:"+exchange)
	if exitCode(err) != 2 || !strings.HasPrefix(out, "localhost: CRITICAL: untrusted") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A pool is asked again and again, denying the servers that it has named,
// until it has no other.
func TestQueryAsksAPoolForSeveralServers(t *testing.T) {
	dir := poolFolder(t, nil)
	pool := port(t, "tcp")
	put(t, dir, "pool.toml", strings.Replace(poolFile(t, ""), "listen = \"127.0.0.1:", "listen = \"127.0.0.1:"+pool+"\" #", 1))
	for _, name := range []string{"localhost", "127.0.0.1"} {
		ntp, exchange := port(t, "udp"), port(t, "tcp")
		put(t, dir, name+".toml", fmt.Sprintf(`[observability]
observation-path = ""
[[server]]
listen = "127.0.0.1:%s"
[[nts-ke-server]]
listen = "127.0.0.1:%s"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
ntp-port = %s
ntp-server = %q
accepted-pool-authentication-tokens = ["hush"]
[synchronization]
local-stratum = 1
update-system-clock = false
`, ntp, exchange, ntp, name))
		d := start(t, dir, "ntp-daemon", "-c", name+".toml")
		d.await("listening for NTS key exchange")
		awaitTime(t, dir, ntp)
		put(t, dir, "sources/"+name+".toml", fmt.Sprintf("[[key-exchange-servers]]\ndomain = %q\nport = %s\ntoken = \"hush\"\n", name, exchange))
	}
	p := start(t, dir, "nts-pool-ke", "-c", "pool.toml")
	p.await("listening on")
	out, err := ctl(t, dir, "query", "-4", "--nts-pool", "--compare", "--ca", keys+"/testca.pem", "localhost:"+pool)
	if err != nil || !strings.Contains(out, "All 2 servers agree") || strings.Count(out, "AES-SIV-CMAC-512") != 2 {
		t.Errorf("%v\n%s\n%s", err, out, strings.Join(p.lines(), "\n"))
	}
}
