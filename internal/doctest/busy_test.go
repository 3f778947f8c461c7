package doctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// The commands in the head of the busy server's file make the certificates
// that it names, and clients have nothing against them.
func TestBusyServersCertificatesAreMade(t *testing.T) {
	text, err := os.ReadFile(root + "/examples/busy-server.toml")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs(root + "/test-keys/gen-cert.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for line := range strings.Lines(string(text)) {
		command, indented := strings.CutPrefix(strings.TrimSpace(line), "#   ")
		if !indented || strings.HasPrefix(command, "sudo ") {
			continue
		}
		shell(t, dir, strings.Replace(command, "../test-keys/gen-cert.sh", script, 1)+" 2>&1")
	}
	cfg, problems := config.Parse("busy-server.toml", text)
	if len(problems) > 0 || len(cfg.NTSKEServers) != 2 {
		t.Fatalf("%v, %d key exchange servers", problems, len(cfg.NTSKEServers))
	}
	for _, s := range cfg.NTSKEServers {
		pair, err := ke.LoadKeyPair(filepath.Join(dir, s.CertificateChainPath), filepath.Join(dir, s.PrivateKeyPath), time.Now())
		if err != nil {
			t.Error(err)
			continue
		}
		if len(pair.Warnings) > 0 || pair.TLS.Leaf.VerifyHostname("ntp.example.com") != nil {
			t.Errorf("%s: %q, for %v", s.CertificateChainPath, pair.Warnings, pair.TLS.Leaf.DNSNames)
		}
	}
}
