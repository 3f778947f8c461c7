package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExamples loads every file in examples/: none has a problem, a key that is not built, or anything to warn of.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.toml")
	if err != nil || len(files) < 6 {
		t.Fatalf("only %d examples: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "[nts-pool-ke-server]") {
				c, problems := ParsePool(file, data)
				if err := problems.Err(); err != nil || len(c.Warnings) > 0 {
					t.Errorf("%v\nwarnings %v", err, c.Warnings)
				}
				return
			}
			c, problems := Parse(file, data)
			if len(c.Sources) == 0 { // one that only serves says so
				c.Warnings = slices.DeleteFunc(c.Warnings, func(w Warning) bool { return strings.Contains(w.Text, "no sources are configured") })
			}
			if err := problems.Err(); err != nil || len(c.Warnings) > 0 || len(c.Unbuilt) > 0 || c.FailsValidate() || !c.CanSteer() {
				t.Errorf("%v\nwarnings %v\nunbuilt %v", err, c.Warnings, c.Unbuilt)
			}
		})
	}
}

// example reads one of the examples.
func example(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestPoolExampleFitsTogether checks that the three unsafe files are about each other.
func TestPoolExampleFitsTogether(t *testing.T) {
	server, client := load(t, string(example(t, "unsafe.nts.server.toml"))), load(t, string(example(t, "unsafe.nts.client.toml")))
	pool, problems := ParsePool("unsafe.pool.toml", example(t, "unsafe.pool.toml"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	ke, source := server.NTSKEServers[0], client.Sources[0]
	if ke.Listen.String() != "0.0.0.0:8080" || server.Servers[0].Listen.String() != "0.0.0.0:123" || pool.Listen.String() != "0.0.0.0:4460" {
		t.Errorf("they listen on %v, %v and %v", ke.Listen, server.Servers[0].Listen, pool.Listen)
	}
	if !slices.Equal(ke.AuthorizedPoolServerCertificates, []string{"test-keys/end.pem"}) || pool.CertificateChainPath != "test-keys/end.fullchain.pem" {
		t.Errorf("the server authorises %v, the pool shows %s", ke.AuthorizedPoolServerCertificates, pool.CertificateChainPath)
	}
	if len(pool.KeyExchangeServers) != 2 || pool.KeyExchangeServers[0].String() != "localhost:8081" || pool.KeyExchangeServers[1].String() != "localhost:8080" {
		t.Errorf("the pool's servers are %v", pool.KeyExchangeServers)
	}
	if source.Mode != ModeNTSPool || source.Address.String() != "localhost:4460" || source.Count != 1 || source.CertificateAuthority != pool.CertificateAuthorityPath {
		t.Errorf("the client's source is %+v", source)
	}
	if server.Observability.ObservationPath == client.Observability.ObservationPath {
		t.Error("both daemons want the same observation socket")
	}
	if server.Synchronization.StartupStepPanic.Forward != Unlimited || client.Synchronization.StartupStepPanic.Forward != Unlimited {
		t.Error("a machine that starts in the past would not start")
	}
}
