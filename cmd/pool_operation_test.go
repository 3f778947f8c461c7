package cmd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/internal/testgeo"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/pool"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// operated is a pool in front of one of our servers, with all that it can be
// watched by.
func operated(t *testing.T) (dir, kePort, metrics string) {
	t.Helper()
	dir = poolFolder(t, nil)
	source := port(t, "tcp")
	put(t, dir, "server.toml", fmt.Sprintf(`[observability]
observation-path = ""
[synchronization]
update-system-clock = false
local-stratum = 1
[[server]]
listen = "127.0.0.1:%s"
[[nts-ke-server]]
listen = "127.0.0.1:%s"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
accepted-pool-authentication-tokens = ["hush hush"]
`, port(t, "udp"), source))
	start(t, dir, "ntp-daemon", "-c", "server.toml")
	kePort, metrics = port(t, "tcp"), port(t, "tcp")
	put(t, dir, "token", "hush hush\n")
	put(t, dir, "sources/a.toml", "[[key-exchange-servers]]\ndomain = \"localhost\"\nport = "+source+"\ntoken-file = \"token\"\nowner = \"us\"\ncountry = \"NL\"\n")
	put(t, dir, "pool.toml", fmt.Sprintf(`[nts-pool-ke-server]
listen = "127.0.0.1:%s"
certificate-authority-path = "%s/testca.pem"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
key-exchange-servers-directory = "sources"
discovery-secret-file = "secret"
reload-seconds = 1
[observability]
status-path = "pool.sock"
metrics-listen = "127.0.0.1:%s"
access-log-path = "access.log"
`, kePort, keys, metrics))
	put(t, dir, "secret", strings.Repeat("s3cret", 10))
	return dir, kePort, metrics
}

// exchange is a client of the pool.
func exchange(t *testing.T, port string) error {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(keys, "testca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var number uint16
	fmt.Sscan(port, &number)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = new(ke.Client).Exchange(ctx, ke.ClientRequest{Host: "localhost", Port: number, Roots: roots, Algorithms: []aead.Algorithm{15}})
	return err
}

// poolCtl runs ntp-ctl and gives what it prints.
func poolCtl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "ntp-ctl"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ntp-ctl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestPoolIsWatched(t *testing.T) {
	dir, kePort, metrics := operated(t)
	p := start(t, dir, "nts-pool-ke", "-c", "pool.toml")
	p.await("listening on")
	for i := 0; ; i++ { // the server may need its time to come up
		if err := exchange(t, kePort); err == nil {
			break
		} else if i == 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	var s pool.Status
	if err := json.Unmarshal([]byte(poolCtl(t, dir, "pool", "status", "--json", "-c", "pool.toml")), &s); err != nil {
		t.Fatal(err)
	}
	if s.Outcomes["served"] != 1 || len(s.Sources) != 1 || s.Sources[0].Owner != "us" || s.Sources[0].Families[0].Served != 1 ||
		s.Settings.CertificateNotAfter.IsZero() || s.Settings.Read.IsZero() || s.Version == "" {
		t.Errorf("%+v", s)
	}
	if text := poolCtl(t, dir, "pool", "status", "--socket", "pool.sock"); !regexp.MustCompile(`localhost:\d+ +IPv4 +ok +1 +\d+% .* iana +1 +0`).MatchString(text) {
		t.Errorf("status\n%s", text)
	}
	if info, err := os.Stat(filepath.Join(dir, "pool.sock")); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	for path, want := range map[string]string{
		"/metrics": `nts_pool_clients_total{outcome="served"} 1`, "/healthz": "", "/readyz": "",
	} {
		resp, err := http.Get("http://127.0.0.1:" + metrics + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) || strings.Contains(string(body), "hush") {
			t.Errorf("%s: %s\n%s", path, resp.Status, body)
		}
	}
	p.stop()
	log, err := os.Open(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var last map[string]any
	for lines := bufio.NewScanner(log); lines.Scan(); {
		last = nil
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		if _, there := last["client"]; there {
			t.Errorf("an address: %s", lines.Text())
		}
	}
	if last["outcome"] != "served" || last["family"] != "IPv4" || !strings.HasPrefix(fmt.Sprint(last["source"]), "localhost:") {
		t.Errorf("the last line is %v", last)
	}
}

// A file that changes is taken over without a signal, and one that is wrong is
// not.
func TestPoolReloadsByItself(t *testing.T) {
	dir, _, _ := operated(t)
	p := start(t, dir, "nts-pool-ke", "-c", "pool.toml")
	p.await("listening on")
	put(t, dir, "sources/b.toml", serverFile("127.0.0.2", ""))
	p.await("read the configuration anew.*sources=2")
	put(t, dir, "sources/b.toml", serverFile("127.0.0.2", "wait = 3\n"))
	p.await("kept the configuration of before.*sources/b.toml:4:1")
	if text := poolCtl(t, dir, "pool", "status", "-c", "pool.toml"); !strings.Contains(text, "sources/b.toml:4:1") || !strings.Contains(text, "127.0.0.2:9") {
		t.Errorf("status\n%s", text)
	}
	put(t, dir, "sources/b.toml", "")
	p.await("read the configuration anew.*sources=1")
}

func TestPoolZone(t *testing.T) {
	dir, _, _ := operated(t)
	put(t, dir, "sources/b.toml", serverFile("b.example", "weight = 0\n")+serverFile("192.0.2.1", ""))
	run := func(args ...string) string {
		cmd := exec.Command(filepath.Join(binaries, "nts-pool-ke"), append(args, "-c", "pool.toml")...)
		cmd.Dir = dir
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return err.Error() + errs.String()
		}
		return string(out)
	}
	sample := regexp.MustCompile(`^; 1 of 3 time sources\n_ntske\._tcp\.pool\.example\. 60 IN SRV 0 0 \d+ localhost\.\n$`)
	if out := run("srv-zone", "--name", "pool.example.", "--ttl", "60"); !sample.MatchString(out) {
		t.Errorf("%s", out)
	}
	all := regexp.MustCompile(`SRV 0 1 \d+ localhost\.\n.*SRV 1 0 9 b\.example\.\n$`)
	if out := run("srv-zone", "--name", "pool.example", "--all"); !all.MatchString(out) {
		t.Errorf("%s", out)
	}
	if out := run("srv-zone"); !strings.Contains(out, "--name") {
		t.Errorf("%s", out)
	}
	a, b := run("member-token", "a.example", "4460"), run("member-token", "b.example", "4460")
	if token := regexp.MustCompile(`^[0-9a-f]{64}\n$`); !token.MatchString(a) || !token.MatchString(b) || a == b {
		t.Errorf("%q and %q", a, b)
	}
	if out := run("member-token", "a.example", "0"); !strings.Contains(out, "not a port") {
		t.Errorf("%s", out)
	}
	put(t, dir, "secret", "short")
	if out := run("validate"); !strings.Contains(out, "too short") {
		t.Errorf("%s", out)
	}
}

// A certificate and a database of places that change are taken over, and the old
// ones stay when the new ones are no good.
func TestPoolReloadsCertificateAndPlaces(t *testing.T) {
	dir, kePort, _ := operated(t)
	text, err := os.ReadFile(filepath.Join(dir, "pool.toml"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "pool.toml", strings.Replace(string(text), "reload-seconds = 1\n", "reload-seconds = 0\ngeolocation-path = \"places.mmdb\"\n", 1))
	places := string(testgeo.Database(map[string][2]string{"127.0.0.0/8": {"NL", "EU"}}))
	put(t, dir, "places.mmdb", places)
	p := start(t, dir, "nts-pool-ke", "-c", "pool.toml")
	p.await("listening on")
	shown := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", "127.0.0.1:"+kePort, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ntske/1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.String()
	}
	before := shown()

	ca := testcert.NewCA(t)
	chain, _, key := ca.Leaf([]string{"localhost"}).Files()
	for from, to := range map[string]string{chain: "end.fullchain.pem", key: "end.key"} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, to, string(b))
	}
	put(t, dir, "places.mmdb", "half of it")
	p.signal(syscall.SIGHUP)
	p.await("kept the configuration of before.*pool.toml:.*places.mmdb: this is no database of places.*unpack or download it anew")
	if now := shown(); now != before {
		t.Errorf("a certificate was taken over with a database that is no good: %s", now)
	}
	put(t, dir, "places.mmdb", places)
	p.signal(syscall.SIGHUP)
	p.await("read the configuration anew")
	if now := shown(); now == before || now != "CN=test leaf" {
		t.Errorf("%s is shown", now)
	}
	var s pool.Status
	if err := json.Unmarshal([]byte(poolCtl(t, dir, "pool", "status", "--json", "-c", "pool.toml")), &s); err != nil {
		t.Fatal(err)
	}
	if s.Settings.GeoBuilt.Unix() != 1_700_000_000 || s.Settings.Error != "" {
		t.Errorf("%+v", s.Settings)
	}
}
