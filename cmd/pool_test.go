package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// poolFile is a configuration of a pool with the keys of the tests.
func poolFile(t *testing.T, rest string) string {
	return fmt.Sprintf(`[nts-pool-ke-server]
listen = "127.0.0.1:%s"
certificate-authority-path = "%[2]s/testca.pem"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
key-exchange-servers-directory = "sources"
%[3]s`, port(t, "tcp"), keys, rest)
}

func serverFile(name string, rest string) string {
	return fmt.Sprintf("[[key-exchange-servers]]\ndomain = %q\nport = 9\n%s", name, rest)
}

func poolFolder(t *testing.T, files map[string]string) string {
	dir := folder(t, files)
	for _, name := range []string{"end.fullchain.pem", "end.key"} {
		b, err := os.ReadFile(filepath.Join(keys, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, name, string(b))
	}
	return dir
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A limit of open files is not met silently, and is worth a warning only to
// whoever asked for more.
func TestPoolSaysHowManyClientsItCanTake(t *testing.T) {
	for rest, level := range map[string]string{"": "INFO", "concurrent-connections = 1000\n": "WARN"} {
		dir := poolFolder(t, nil)
		put(t, dir, "pool.toml", poolFile(t, rest))
		put(t, dir, "sources/a.toml", serverFile("127.0.0.1", ""))
		p := startRaw(t, dir, "sh", "-c", "ulimit -n 100; exec nts-pool-ke -c pool.toml")
		p.await(level + ".*only 66 clients can be connected at once, because the limit of open files is 100")
	}
}

// SIGHUP reads everything anew: the configuration, the files of sources, the
// tokens and the certificates. What is wrong in one of them leaves all as it
// was, and is said.
func TestPoolReloads(t *testing.T) {
	dir := poolFolder(t, nil)
	config := poolFile(t, "reload-seconds = 0\n")
	put(t, dir, "pool.toml", config)
	put(t, dir, "sources/a.toml", serverFile("127.0.0.1", "token-file = \"a.token\"\n"))
	put(t, dir, "a.token", "hush\n")
	p := start(t, dir, "nts-pool-ke", "-c", "pool.toml")
	p.await("listening on")
	hangup := func() { p.signal(syscall.SIGHUP) }

	put(t, dir, "sources/b.toml", serverFile("127.0.0.2", "weight = 3\n"))
	hangup()
	p.await("read the configuration anew.*sources=2")
	p.await("time source does not work.*127.0.0.2:9")

	put(t, dir, "sources/c.toml", serverFile("127.0.0.3", "wait = 3\n"))
	hangup()
	p.await("kept the configuration of before.*sources/c.toml:4:1: key-exchange-servers.wait")
	put(t, dir, "sources/c.toml", "")

	put(t, dir, "a.token", "\n")
	hangup()
	p.await("kept the configuration of before.*sources/a.toml:4:1: the first line of a.token is empty")
	put(t, dir, "a.token", "hush again")

	put(t, dir, "end.key", "no key")
	hangup()
	p.await("kept the configuration of before.*end.key")
	b, err := os.ReadFile(filepath.Join(keys, "end.key"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "end.key", string(b))

	put(t, dir, "pool.toml", config+"key-exchange-timeout-ms = 1\n")
	hangup()
	p.await("key-exchange-timeout-ms has changed.*next start")
	p.await("read the configuration anew.*sources=2")
	if text := strings.Join(p.lines(), "\n"); strings.Contains(text, "hush") {
		t.Errorf("the token is in the log:\n%s", text)
	}
}
