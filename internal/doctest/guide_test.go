package doctest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

const guide = root + "/docs/guide/nts.md"

// follow does what the guide says, as typed, in an empty folder.
func follow(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	toml := 0
	for _, b := range blocks(t, guide) {
		switch b.Lang {
		case "ini":
			write(t, dir, "ntp.test.ext", b.Text)
		case "toml":
			write(t, dir, []string{"server.toml", "client.toml", "proxied.toml"}[toml], b.Text)
			toml++
		case "sh":
			for _, c := range b.Commands() {
				if strings.HasPrefix(c, "openssl ") || strings.HasPrefix(c, "cat ") {
					shell(t, dir, c)
				}
			}
		}
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func shell(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// The certificate that the guide makes pleases every client, and the
// configuration is valid.
func TestGuideMakesWhatItPromises(t *testing.T) {
	dir := follow(t)
	pair, err := ke.LoadKeyPair(filepath.Join(dir, "ntp.test.chain"), filepath.Join(dir, "ntp.test.key"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Warnings) > 0 {
		t.Errorf("warnings: %q", pair.Warnings)
	}
	bin := build(t, "ntp-ctl")
	for _, name := range []string{"server.toml", "client.toml", "proxied.toml"} {
		if out := shell(t, dir, bin+"/ntp-ctl validate -c "+name+" 2>&1"); out != "Config looks good\n" {
			t.Errorf("validate %s: %s", name, out)
		}
	}
}

// The commands of ntpd-rs' own guide, which set keyUsage = keyEncipherment,
// still make something that our ends accept, with a warning for GnuTLS.
func TestCertificatesOfTheOlderGuideWorkAndWarn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.ext", "authorityKeyIdentifier=keyid,issuer\nbasicConstraints=CA:FALSE\nkeyUsage = keyEncipherment\n"+
		"subjectAltName = @alt_names\n\n[alt_names]\nDNS.1 = ntpd-rs.test\n")
	for _, c := range []string{
		"openssl genrsa -des3 -passout pass:xxxx -out myCA.key 2048",
		"openssl req -x509 -new -nodes -key myCA.key -passin pass:xxxx -sha256 -days 1825 -subj /CN=CA -out myCA.pem",
		"openssl genrsa -out x.key 2048",
		"openssl req -new -key x.key -subj /CN=x -out x.csr",
		"openssl x509 -req -in x.csr -CA myCA.pem -CAkey myCA.key -passin pass:xxxx -CAcreateserial -out x.crt -days 1825 -sha256 -extfile x.ext",
		"cat x.crt myCA.pem > x.chain",
	} {
		shell(t, dir, c)
	}
	pair, err := ke.LoadKeyPair(filepath.Join(dir, "x.chain"), filepath.Join(dir, "x.key"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Warnings) != 1 || !strings.Contains(pair.Warnings[0], "digitalSignature") {
		t.Errorf("warnings: %q", pair.Warnings)
	}
	handshake(t, pair, filepath.Join(dir, "myCA.pem"), "ntpd-rs.test")
}

// The guide's server and client, run as typed but for the clock, which is
// left alone: the client gets its eight cookies.
func TestGuideRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for ports 123 and 4460 in a namespace; continuous integration has it")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip to bring up the loopback device of a namespace; continuous integration has it")
	}
	dir := follow(t)
	bin := build(t, "ntp-daemon")
	write(t, dir, "hosts", "127.0.0.1 localhost ntp.test\n")
	socket := filepath.Join(dir, "observe")
	client, err := os.ReadFile(filepath.Join(dir, "client.toml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "client.toml", string(client)+"\n[observability]\nobservation-path = \""+socket+"\"\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", "-n", "-m", "sh", "-c", fmt.Sprintf(
		`ip link set lo up && mount --bind hosts /etc/hosts &&
		{ %[1]s/ntp-daemon -c server.toml --no-clock & server=$!
		%[1]s/ntp-daemon -c client.toml --no-clock & client=$!
		trap 'kill $server $client; wait' TERM; wait; }`, bin))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	state := awaitCookies(ctx, socket)
	shell(t, dir, fmt.Sprintf("kill -TERM %d", cmd.Process.Pid))
	_ = cmd.Wait() // it ends by the signal
	if n := cookies(state); n != 8 {
		b, _ := json.Marshal(state)
		t.Errorf("the client holds %d cookies instead of 8\n%s\n%s", n, b, log.String())
	}
	if !strings.Contains(log.String(), "Could not load nts server keys, starting with new set") {
		t.Errorf("no warning that the keys are new:\n%s", log.String())
	}
}

// awaitCookies asks the client until it has its cookies.
func awaitCookies(ctx context.Context, socket string) observe.State {
	return awaitState(ctx, socket, func(s observe.State) bool { return cookies(s) == 8 })
}

// awaitState asks a daemon until its state is as wanted, and returns the last.
func awaitState(ctx context.Context, socket string, wanted func(observe.State) bool) observe.State {
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	var last observe.State
	for {
		if s, err := observe.Read(socket, time.Second); err == nil {
			if last = s; wanted(s) {
				return s
			}
		}
		select {
		case <-ctx.Done():
			return last
		case <-retry.C:
		}
	}
}

func cookies(s observe.State) int {
	if len(s.Sources) == 1 && s.Sources[0].NTSCookies != nil {
		return *s.Sources[0].NTSCookies
	}
	return -1
}

// build compiles commands and returns their folder.
func build(t *testing.T, commands ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, c := range commands {
		cmd := exec.Command("go", "build", "-o", dir+"/", "github.com/ntpd-go/ntpd-go/cmd/"+c)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", c, err, out)
		}
	}
	return dir
}

// handshake makes a key exchange between our ends.
func handshake(t *testing.T, pair *ke.KeyPair, authority, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := ke.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := cookie.NewKeyset(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := ke.NewServer(ke.ServerConfig{
		Listener: l,
		TLS:      func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{pair.TLS}} },
		Seal: func() nts.Sealer {
			return func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
				var nonce [cookie.NonceLen]byte
				rand.Read(nonce[:])
				return keys.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, nonce[:])
			}
		},
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	roots, err := ke.LoadRoots(authority)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	var client ke.Client
	r, err := client.Exchange(ctx, ke.ClientRequest{Host: name, Port: at.Port(), Addrs: []netip.AddrPort{at}, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cookies) != 8 {
		t.Errorf("%d cookies instead of 8", len(r.Cookies))
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
}
