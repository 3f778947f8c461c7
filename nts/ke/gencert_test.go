package ke

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// handshake makes a key exchange with the files in dir, as a server called
// name, and as a pool that presents the same certificate.
func handshake(t *testing.T, dir, name, host string) {
	t.Helper()
	file := func(suffix string) string { return filepath.Join(dir, name+suffix) }
	pair, err := LoadKeyPair(file(".fullchain.pem"), file(".key"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Warnings) != 0 {
		t.Errorf("warnings %q", pair.Warnings)
	}
	own, err := LoadPoolCertificate(file(".pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := LoadRoots(filepath.Join(dir, "testca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	var network memnet.Network
	l, err := network.Listen(serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair.TLS}}
	server := NewServer(ServerConfig{
		Listener: l, Timeout: time.Minute,
		TLS:       func() *tls.Config { return config },
		Authorise: NewAuthoriser(nil, []*x509.Certificate{own}),
		Seal: func() nts.Sealer {
			return func(aead.Algorithm, []byte, []byte) ([]byte, error) { return []byte{1}, nil }
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go server.Serve(ctx)

	client := &Client{
		Certificate: func() *tls.Certificate { return &pair.TLS },
		Dial: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return network.Dial(ctx, kind, serverAddr)
		},
	}
	conn, err := client.Connect(ctx, Target{Host: host, Port: 1, Addrs: []netip.AddrPort{netip.MustParseAddrPort(serverAddr)}, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	msg, err := conn.RoundTrip(ctx, fromHex("8009 0000"+eom))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := conn.Decode(msg, nts.DecodeSupported); err != nil {
		t.Errorf("as a pool: %v, %v", resp, err)
	}
}

// The committed keys work for every name that the examples use, for years.
func TestCommittedKeys(t *testing.T) {
	const dir = "../../test-keys"
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "end"} {
		handshake(t, dir, "end", host)
	}
	pair, err := LoadKeyPair(dir+"/end.fullchain.pem", dir+"/end.key", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(pair.TLS.Leaf.NotAfter); left < 365*24*time.Hour {
		t.Errorf("the certificate is valid for %v only; make it anew", left)
	}
}

func TestGenCert(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	script, err := filepath.Abs("../../test-keys/gen-cert.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	gen := func(args ...string) (string, error) {
		cmd := exec.Command("sh", append([]string{script}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := gen("ntpd.test", "192.0.2.7", "2001:db8::7", "other.test"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "testca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"ntpd.test", "localhost", "127.0.0.1", "::1", "192.0.2.7", "2001:db8::7", "other.test"} {
		handshake(t, dir, "ntpd.test", host)
	}
	for _, key := range []string{"ntpd.test.key", "testca.key"} {
		if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}

	// A second server has the same authority.
	if out, err := gen("10.1.2.3"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	handshake(t, dir, "10.1.2.3", "10.1.2.3")
	if again, err := os.ReadFile(filepath.Join(dir, "testca.pem")); err != nil || !bytes.Equal(again, ca) {
		t.Errorf("the authority was made anew (%v)", err)
	}

	for _, args := range [][]string{{}, {"testca"}, {"../up"}, {"-x"}, {"a b"}} {
		out, err := gen(args...)
		if err == nil || !strings.HasPrefix(out, "gen-cert.sh: ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: %v: %q", args, err, out)
		}
	}
}
