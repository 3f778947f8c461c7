package cmd_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exchangeAt opens a connection to a key-exchange server.
func exchangeAt(t *testing.T, ke string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+ke, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ntske/1"}, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// serial is the number of the certificate that a server presents.
func serial(t *testing.T, ke string) string {
	t.Helper()
	return exchangeAt(t, ke).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// request asks for NTPv4 and AES-SIV-CMAC-256 (RFC 8915 section 4).
var request = []byte{0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0}

// A renewed certificate is presented from the reload on, by ntp-ctl or by
// SIGHUP, and an exchange that was open then is answered. Files that cannot be
// used leave the old certificate in place, and the reason is said.
func TestCertificatesAreReloadedWithoutDroppingAnyone(t *testing.T) {
	ke := port(t, "tcp")
	dir := folder(t, map[string]string{"d.toml": fmt.Sprintf("[observability]\nobservation-path = \"observe\"\n[[nts-ke-server]]\nlisten = \"127.0.0.1:%s\"\n"+
		"ntp-server = \"127.0.0.1\"\ncertificate-chain-path = \"chain.pem\"\nprivate-key-path = \"key.pem\"\nkey-exchange-timeout-ms = 20000\n", ke)})
	use := func(chain, key string) {
		for from, to := range map[string]string{chain: "chain.pem", key: "key.pem"} {
			b, err := os.ReadFile(filepath.Join(keys, from))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	use("end.fullchain.pem", "end.key")
	p := start(t, dir, "ntp-daemon", "-c", "d.toml")
	p.await("listening for NTS key exchange")
	p.await("gave up privileges|going on with them|serving|READY|no sources")
	first, open := serial(t, ke), exchangeAt(t, ke)

	use("other.fullchain.pem", "other.key")
	if out, err := ctl(t, dir, "reload", "-c", "d.toml"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	second := serial(t, ke)
	if second == first {
		t.Error("the old certificate is still presented")
	}
	if _, err := open.Write(request); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	if n, err := open.Read(answer); n < 100 {
		t.Errorf("the exchange that was open got %d octets, %v", n, err)
	}

	use("end.fullchain.pem", "other.key")
	out, err := ctl(t, dir, "reload", "-c", "d.toml")
	if exitCode(err) != 1 || !strings.Contains(out, "the old configuration stays in use") || !strings.Contains(out, "does not belong to the certificate") {
		t.Errorf("%v: %s", err, out)
	}
	if got := serial(t, ke); got != second {
		t.Error("the certificate changed although the key does not belong to the new one")
	}

	use("end.fullchain.pem", "end.key")
	p.signal(syscall.SIGHUP)
	p.await("code=command verb=reload")
	for limit := time.Now().Add(patience); serial(t, ke) != first; {
		if time.Now().After(limit) {
			t.Fatal("SIGHUP has no effect")
		}
	}
	status, err := ctl(t, dir, "status", "-c", "d.toml", "--json")
	if err != nil || !strings.Contains(status, `"key-exchange": 1`) || strings.Contains(status, `"certificate_expires": null`) {
		t.Errorf("%v: %s", err, status)
	}
}
