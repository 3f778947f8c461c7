package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// soak is one run.
type soak struct {
	options
	dir    string
	random *rand.Rand // of the goroutine that makes trouble

	list    []*source
	roots   *x509.CertPool
	addr    string
	metrics string
	cmd     *exec.Cmd
	exited  chan error
	end     chan struct{} // closed when clients may go

	mu     sync.Mutex
	known  map[key]*client
	counts tally
	oddest string
}

const poolTOML = `[nts-pool-ke-server]
listen = "%s"
certificate-authority-path = "root.pem"
certificate-chain-path = "pool.chain.pem"
private-key-path = "pool.key"
key-exchange-servers = [
%s]

[observability]
status-path = "pool.sock"
metrics-listen = "%s"
`

// launch starts sources and pool.
func (s *soak) launch() error {
	s.known = make(map[key]*client)
	ca, err := lab.NewAuthority("soak-pool")
	if err != nil {
		return err
	}
	if err := errors.Join(ca.WriteRoot(s.file("root.pem")), ca.WriteLeaf(s.dir, "pool", "127.0.0.1"), ca.WriteLeaf(s.dir, "source", "127.0.0.1")); err != nil {
		return err
	}
	pem, err := os.ReadFile(s.file("root.pem"))
	if err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(s.file("source.chain.pem"), s.file("source.key"))
	if err != nil {
		return err
	}
	var entries strings.Builder
	for i := range s.sources {
		source, err := newSource(fmt.Sprintf("s%d.example", i), pair)
		if err != nil {
			return err
		}
		s.list = append(s.list, source)
		fmt.Fprintf(&entries, "    { domain = \"127.0.0.1\", port = %d, token = \"token of %s\" },\n", source.port(), source.name)
	}
	if s.addr, err = freeTCP(); err != nil {
		return err
	}
	if s.metrics, err = freeTCP(); err != nil {
		return err
	}
	if err := os.WriteFile(s.file("pool.toml"), fmt.Appendf(nil, poolTOML, s.addr, entries.String(), s.metrics), 0o600); err != nil {
		return err
	}
	return s.startPool()
}

func (s *soak) startPool() error {
	log, err := os.Create(s.file("pool.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(filepath.Join(s.bin, "nts-pool-ke"), "-c", "pool.toml")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("%w (make build makes it)", err)
	}
	s.exited = make(chan error, 1)
	go func() { s.exited <- s.cmd.Wait() }()
	for range 100 {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the pool does not listen")
}

func (s *soak) file(name string) string { return filepath.Join(s.dir, name) }

func freeTCP() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// alive reports a pool that has ended.
func (s *soak) alive() error {
	select {
	case err := <-s.exited:
		s.exited <- err
		return fmt.Errorf("the pool has ended: %v", err)
	default:
		return nil
	}
}

// terminate ends the pool as an operator does.
func (s *soak) terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		if err != nil {
			return fmt.Errorf("the pool did not end well: %w", err)
		}
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("the pool does not end")
	}
}

// kill ends what is left.
func (s *soak) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
	}
	for _, source := range s.list {
		source.turn(dead)
	}
}

// usage is what a process holds that it could forget to give back.
type usage struct{ goroutines, descriptors int }

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines and %d descriptors", u.goroutines, u.descriptors)
}

// settle waits until all sources are in use and the pool is at rest.
func (s *soak) settle() (usage, error) {
	deadline := time.Now().Add(3 * time.Minute) // a suspected source waits, too
	for time.Now().Before(deadline) {
		if s.allUsable() {
			time.Sleep(20 * time.Second) // spare connections go
			return s.usage()
		}
		time.Sleep(time.Second)
	}
	return usage{}, errors.New("not all sources came back into use")
}

// allUsable asks the pool whether it reaches all sources.
func (s *soak) allUsable() bool {
	conn, err := net.Dial("unix", s.file("pool.sock"))
	if err != nil {
		return false
	}
	defer conn.Close()
	var status struct {
		Sources []struct{ Families []struct{ State string } }
	}
	if json.NewDecoder(conn).Decode(&status) != nil || len(status.Sources) == 0 {
		return false
	}
	for _, source := range status.Sources {
		for _, f := range source.Families {
			if f.State != "ok" && f.State != "suspected" {
				return false
			}
		}
	}
	return true
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (s *soak) usage() (u usage, err error) {
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	m := goroutines.FindSubmatch(text)
	if m == nil {
		return u, errors.New("the pool does not count its goroutines")
	}
	if u.goroutines, err = strconv.Atoi(string(m[1])); err != nil {
		return u, err
	}
	http.DefaultClient.CloseIdleConnections()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	u.descriptors = len(list)
	return u, err
}

// trouble changes the mood of one source. At least half of them are healthy.
func (s *soak) trouble() {
	victim := s.list[s.random.IntN(len(s.list))]
	m := mood(s.random.IntN(moods))
	well := 0
	for _, source := range s.list {
		if source != victim && source.is().well() {
			well++
		}
	}
	if well < len(s.list)/2 {
		m = healthy
	}
	victim.turn(m)
	if s.verbose {
		fmt.Printf("%s: %v\n", victim.name, m)
	}
}

var request, _ = nts.AppendRequest(nil, nts.KeyExchange{Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: offered})
