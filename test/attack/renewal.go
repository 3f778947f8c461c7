package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// presenter is a program with a certificate, and the pair of files that it is in.
type presenter struct {
	*lab.Process
	t          *scene.Trial
	h          *lab.Host
	name, addr string // of its key exchange
	refusal    string // what it says once of files that it does not take
	refused    int
}

func (p *presenter) files() (chain, key string) {
	return filepath.Join(p.h.Dir, p.name+".chain.pem"), filepath.Join(p.h.Dir, p.name+".key")
}

// write replaces the files and tells the program; nil removes one.
func (p *presenter) write(chain, key []byte) {
	c, k := p.files()
	for path, text := range map[string][]byte{c: chain, k: key} {
		if text == nil {
			p.t.Check(os.Remove(path))
			continue
		}
		p.t.Check(os.WriteFile(path, text, 0o600))
	}
	p.t.Check(p.Signal(syscall.SIGHUP))
}

// renew gives the program a certificate that is valid for some time, and waits until it presents it.
func (p *presenter) renew(valid time.Duration) {
	pair := leaf(p.t, func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(valid)
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) // the pool shows it to its sources
	}, p.name+".test")
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	p.t.Check(err)
	p.write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	p.t.Eventually(10*time.Second, func() error {
		if now := p.presents(); !bytes.Equal(now, pair.Certificate[0]) {
			return errors.New(p.name + " presents another certificate than it was given")
		}
		return nil
	})
}

// presents is the certificate that a client is shown, good or not.
func (p *presenter) presents() []byte {
	raw, err := p.t.Connect(p.h, p.addr)
	p.t.Check(err)
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{nts.ALPN}}) //nolint:gosec // it is what this looks at
	p.t.Check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	p.t.Check(c.Handshake())
	return c.ConnectionState().PeerCertificates[0].Raw
}

// spoil replaces the files in every way in which they are of no use. The program says so each time, once, and goes on with
// what it has.
func (p *presenter) spoil() (ways int) {
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		p.t.Check(err)
		return b
	}
	chainPath, keyPath := p.files()
	chain, key, before := read(chainPath), read(keyPath), p.presents()
	other := read(filepath.Join(p.h.Dir, "third.key"))
	cases := []struct {
		name       string
		chain, key []byte
	}{
		{"an empty chain", []byte{}, key},
		{"half a chain", chain[:len(chain)/4], key},
		{"garbage", scene.Random(2000), scene.Random(300)},
		{"no chain", nil, key},
		{"no key", chain, nil},
		{"half a key", chain, key[:len(key)/2]},
		{"the key of another", chain, other},
		{"the two swapped", key, chain},
	}
	for _, c := range cases {
		p.write(c.chain, c.key)
		p.refused++
		p.t.Eventually(10*time.Second, func() error {
			if n := strings.Count(p.Text(), p.refusal); n != p.refused {
				return fmt.Errorf("%s, %s: refused %d times, want %d", p.name, c.name, n, p.refused)
			}
			return nil
		})
		if !bytes.Equal(p.presents(), before) {
			p.t.Fatal("%s presents another certificate after %s", p.name, c.name)
		}
		if _, err := p.t.KeyExchange(p.h, p.addr, p.name+".test"); err != nil {
			p.t.Fatal("%s gives no keys after %s: %v", p.name, c.name, err)
		}
	}
	p.write(chain, key)
	return len(cases)
}

// renewals is a life of certificates: replaced by what is of no use, then by one that expires, then by a good one.
func renewals(t *scene.Trial) {
	h := t.Host("host")
	one := t.Daemon(h, "one", member("server", "127.0.0.1"))
	t.Serving(one, "127.0.0.1:123")
	t.Serving(t.Daemon(h, "two", member("second", "127.0.0.2")), "127.0.0.2:123")
	// The sources know the pool by its token, not by a certificate that is renewed; and it rereads its files when it is told.
	t.Write(h, "token", "the-token-of-the-pool\n")
	text := strings.ReplaceAll(poolText, "port = 4460", "port = 4460, token-file = \"token\"") + "reload-seconds = 0\n"
	pool := &presenter{t.Pool(h, text), t, h, "pool", poolAddr, "kept the configuration of before", 0}
	awaitPool(t, h, pool.Process)
	server := &presenter{one.Process, t, h, "server", exchangeAddr, "the old configuration stays in use", 0}
	client := func(name string) *scene.Daemon { return t.Daemon(h, name, scene.Client+scene.NTS("server.test")) }
	early := client("early")
	t.Samples(early, 0, 0, 2, 30*time.Second)
	t.Control("a client has keys of the server")
	ways := server.spoil()
	pool.spoil()
	for _, p := range []*presenter{server, pool} {
		t.Alive(p.Process)
		if n := strings.Count(p.Text(), p.refusal); n != ways {
			t.Fatal("%s says %d times that its files are of no use, which they were %d times", p.name, n, ways)
		}
	}

	// A certificate that is soon over.
	const short = 8 * time.Second
	expires := time.Now().Add(short)
	server.renew(short)
	t.Session(h, exchangeAddr, "server.test")
	t.Eventually(2*short, func() error {
		if left := time.Until(expires); left > 0 {
			return fmt.Errorf("valid for another %v", left)
		}
		return nil
	})
	if _, err := t.KeyExchange(h, exchangeAddr, "server.test"); err == nil {
		t.Fatal("the certificate has not expired: the row shows nothing")
	}
	pool.renew(time.Hour) // which ends the connections to its sources, too
	late := client("late")
	t.Eventually(20*time.Second, func() error {
		s, _, err := late.Source(0)
		if err == nil && !strings.Contains(s.Text, "it is valid from") {
			err = fmt.Errorf("not refused for the certificate: %s %q", s.Condition, s.Text)
		}
		return err
	})
	before, _, err := early.Source(0)
	t.Check(err)
	t.Samples(early, 0, before.Taken(), 2, 20*time.Second)
	for range 20 {
		if s := t.Session(h, poolAddr, "pool.test"); of(s) != "second" {
			t.Fatal("the pool gave a client to a source whose certificate has expired: %s", s.Server)
		}
	}
	if n := t.MustState(one).Servers[0].Stats["nts_nak_packets"]; n > 0 {
		t.Fatal("%d NAKs", n)
	}

	server.renew(time.Hour)
	began := time.Now()
	t.Samples(late, 0, 0, 2, 40*time.Second)
	took := time.Since(began)
	t.Eventually(60*time.Second, func() error {
		s, err := t.KeyExchange(h, poolAddr, "pool.test")
		if err == nil && of(s) != "server" {
			err = errors.New("the pool gives no client to the source whose certificate was renewed")
		}
		return err
	})
	after, _, err := early.Source(0)
	t.Check(err)
	if after.ID != before.ID {
		t.Fatal("an association that had keys did not outlive the certificate")
	}
	t.Alive(server.Process)
	t.Alive(pool.Process)
	t.Saw("%d kinds of useless files are named once each, at server and pool, and the old certificate stays; one that expires is refused by a client and by the pool, an association goes on; renewed, it serves newcomers after %.0f s, and nobody was restarted",
		ways, took.Seconds())
}

// of is the name of the server that a session is with.
func of(s *scene.Session) string {
	for name, addr := range scene.Names {
		if host := strings.TrimSuffix(s.Server, "."); host == name || host == addr.String() {
			return strings.TrimSuffix(name, ".test")
		}
	}
	return s.Server
}
