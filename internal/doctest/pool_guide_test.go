package doctest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const poolGuide = root + "/docs/guide/nts-pool.md"

// followPool does what the guide to pools says, in an empty folder: the
// operator's files, the member's, and the token as typed. The certificates
// are made otherwise, as the guide leaves them to the one about NTS.
func followPool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := []string{"pool.toml", "members/time3.toml", "front.toml", "member.toml", "client.toml"}
	if err := os.Mkdir(filepath.Join(dir, "members"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(t, poolGuide) {
		switch b.Lang {
		case "toml":
			if len(files) == 0 {
				t.Fatalf("%v: what is this file called?", b)
			}
			write(t, dir, files[0], b.Text)
			files = files[1:]
		case "sh":
			for _, c := range b.Commands() {
				if strings.HasPrefix(c, "openssl ") {
					shell(t, dir, c)
				}
			}
		}
	}
	script, err := filepath.Abs(root + "/test-keys/gen-cert.sh")
	if err != nil {
		t.Fatal(err)
	}
	shell(t, dir, script+" pool pool.example.org && "+script+" time1 time1.example.org")
	shell(t, dir, "cp testca.pem myCA.pem; cp pool.fullchain.pem pool.chain; cp time1.fullchain.pem time1.chain")
	for _, name := range []string{"time2.token", "time3.token"} {
		shell(t, dir, "openssl rand -hex -out "+name+" 32")
	}
	return dir
}

func TestPoolGuideIsValid(t *testing.T) {
	dir := followPool(t)
	bin := build(t, "nts-pool-ke", "ntp-ctl")
	if out := shell(t, dir, bin+"/nts-pool-ke validate -c pool.toml 2>&1"); out != "Config looks good: 3 time sources\n" {
		t.Errorf("validate: %s", out)
	}
	if out := shell(t, dir, bin+"/nts-pool-ke validate -c front.toml 2>&1"); out != "Config looks good: 0 time sources, and those that DNS lists for 1 domains\n" {
		t.Errorf("validate: %s", out)
	}
	if out := shell(t, dir, bin+"/nts-pool-ke member-token -c front.toml time1.example.org 4460"); len(out) != 65 {
		t.Errorf("a token: %q", out)
	}
	if out := shell(t, dir, bin+"/nts-pool-ke srv-zone -c pool.toml --all --name members.example.org"); strings.Count(out, "_ntske._tcp.members.example.org. 300 IN SRV 0 ") != 3 {
		t.Errorf("a zone:\n%s", out)
	}
	if out := shell(t, dir, bin+"/ntp-ctl validate -c member.toml 2>&1"); out != "Config looks good\n" {
		t.Errorf("validate: %s", out)
	}
}

// The guide's pool and its first member serve a client. All of them are on one
// machine here, so that the member has another port and no clients but these.
func TestPoolGuideRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a namespace; continuous integration has it")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip to bring up the loopback device of a namespace; continuous integration has it")
	}
	dir := followPool(t)
	bin := build(t, "ntp-daemon", "nts-pool-ke")
	edit(t, dir, "pool.toml", `"time1.example.org", port = 4460`, `"time1.example.org", port = 4461`)
	edit(t, dir, "member.toml", `listen = "[::]:4460"`, `listen = "[::]:4461"`)
	edit(t, dir, "member.toml", "the content of time1.token", strings.TrimSpace(read(t, dir, "time1.token")))
	write(t, dir, "hosts", "127.0.0.1 localhost pool.example.org time1.example.org\n")
	socket := filepath.Join(dir, "observe")
	write(t, dir, "client.toml", "[[source]]\nmode = \"nts\"\naddress = \"pool.example.org\"\ncertificate-authority = \"myCA.pem\"\n"+
		"[observability]\nobservation-path = \""+socket+"\"\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", "-n", "-m", "sh", "-c", fmt.Sprintf(
		`ip link set lo up && mount --bind hosts /etc/hosts &&
		{ %[1]s/ntp-daemon -c member.toml --no-clock & member=$!
		%[1]s/nts-pool-ke -c pool.toml & pool=$!
		%[1]s/ntp-daemon -c client.toml --no-clock & client=$!
		trap 'kill $member $pool $client; wait' TERM; wait; }`, bin))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	state := awaitCookies(ctx, socket)
	shell(t, dir, fmt.Sprintf("kill -TERM %d", cmd.Process.Pid))
	_ = cmd.Wait() // it ends by the signal
	if n := cookies(state); n != 8 {
		t.Errorf("the client holds %d cookies instead of 8\n%s", n, log.String())
	}
	if token := strings.TrimSpace(read(t, dir, "time1.token")); strings.Contains(log.String(), token) {
		t.Error("the token is in a log")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// edit replaces a text in a file, which must be there.
func edit(t *testing.T, dir, name, from, to string) {
	t.Helper()
	text := read(t, dir, name)
	if !strings.Contains(text, from) {
		t.Fatalf("%s does not contain %q", name, from)
	}
	write(t, dir, name, strings.Replace(text, from, to, 1))
}
