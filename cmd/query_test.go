package cmd_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
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
	return dir, ntp, exchange
}

func TestQueryAsksARealServer(t *testing.T) {
	dir, ntp, exchange := ntsServer(t)
	out, err := ctl(t, dir, "query", "--compare", "--count", "2", "--interval", "10ms", "127.0.0.1:"+ntp, "127.0.0.1:"+ntp)
	if err != nil || !strings.Contains(out, "All 2 servers agree") || !strings.Contains(out, "2/2") {
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
