package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Faults of servers and of the key exchange.
var serverRows = []scene.Row{
	{ID: "X03", What: "a server that restarts with its cookie keys and without", Prove: restarts, Limit: 4 * time.Minute},
	{ID: "X04", What: "a key exchange that is down while the server goes on", Prove: keysDown},
	{ID: "X04b", What: "a client that is restarted, ended and killed, while the key exchange is down", Prove: restartsWithoutKeys, Limit: 3 * time.Minute},
	{ID: "X05", What: "a certificate that expires during the run, and is renewed", Prove: expiry, Limit: 4 * time.Minute},
	{ID: "X07", What: "a client that stands still for twelve seconds", Prove: standstill},
}

func restarts(t *scene.Trial) {
	h := t.Host("host")
	const keys = "[keyset]\nkey-storage-path = \"/run/lab/keys\"\n"
	server := t.Daemon(h, "server", scene.Server+keys)
	t.Serving(server, "127.0.0.1:123")
	d := t.Daemon(h, "client", scene.Client+scene.NTS("server.test"))
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Control("the client is served with authentication")
	id := t.MustState(d).Own.Sources[0].ID
	for range 3 {
		server.Stop()
		server = t.Daemon(h, "server", scene.Server+keys)
		t.Serving(server, "127.0.0.1:123")
		well(t, d, 30*time.Second)
		if n := t.MustState(server).Servers[0].Stats["nts_nak_packets"]; n != 0 {
			t.Fatal("%d NAKs although the keys were kept", n)
		}
	}
	if now := t.MustState(d).Own.Sources[0].ID; now != id {
		t.Fatal("a new association although the keys were kept")
	}
	// Without its keys the server does not know its cookies any more.
	server.Stop()
	t.Check(os.Remove(filepath.Join(h.Dir, "keys")))
	server = t.Daemon(h, "server", scene.Server+keys)
	t.Serving(server, "127.0.0.1:123")
	begin := time.Now()
	t.Eventually(90*time.Second, func() error {
		s, err := server.State()
		if err == nil && s.Servers[0].Stats["nts_accepted_packets"] < 3 {
			err = fmt.Errorf("%d protected requests accepted", s.Servers[0].Stats["nts_accepted_packets"])
		}
		return err
	})
	t.Saw("three restarts with keys cost nothing; without, the client has new ones after %.0f s (%d NAKs)", time.Since(begin).Seconds(),
		t.MustState(server).Servers[0].Stats["nts_nak_packets"])
}

func keysDown(t *scene.Trial) {
	h := t.Host("host")
	u := t.Upstream(h, "127.0.0.1:123")
	stop := t.Keys(h, u, "127.0.0.1:4460", "server", scene.At("127.0.0.1:123"))
	d := t.Daemon(h, "client", scene.Client+scene.NTS("server.test"))
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Control("the client is served with authentication")
	stop()
	before := t.MustState(d).Own.Sources[0]
	s := t.Samples(d, 0, before.Taken(), 20, 60*time.Second)
	if s.ID != before.ID || s.Cookies == nil || *s.Cookies < 7 {
		t.Fatal("the association suffers: %+v", s)
	}
	// Now the server forgets it, with the key exchange still down.
	u.Forget()
	t.Hold(10*time.Second, func() error {
		for _, r := range u.Requests() {
			if len(r) == 48 {
				return fmt.Errorf("a plain request")
			}
		}
		return nil
	})
	t.Keys(h, u, "127.0.0.1:4460", "server", scene.At("127.0.0.1:123"))
	begin := time.Now()
	t.Eventually(90*time.Second, func() error {
		now, _, err := d.Source(0)
		if err == nil && (now.ID == s.ID && now.Taken() < s.Taken()+3 || now.Taken() < 2) {
			err = fmt.Errorf("not yet: %s %s", now.Condition, now.Text)
		}
		return err
	})
	t.Saw("20 measurements without a key exchange; forgotten meanwhile, it has new keys %.0f s after the key exchange is back", time.Since(begin).Seconds())
}

// restartsWithoutKeys is RFC 8915 section 5.7: a client goes on with what it kept, and never sends a cookie twice.
func restartsWithoutKeys(t *scene.Trial) {
	h := t.Host("host")
	u := t.Upstream(h, "127.0.0.1:123")
	var cookies [][]byte
	u.Script(func(a *scene.Asked) [][]byte {
		cookies = append(cookies, a.Cookie)
		return nil
	})
	stop := t.Keys(h, u, "127.0.0.1:4460", "server", scene.At("127.0.0.1:123"))
	start := func(name string) *scene.Daemon {
		d := t.Daemon(h, name, scene.Client+"nts-state-path = \"/run/lab/kept/nts.json\"\n"+scene.NTS("server.test"))
		t.Samples(d, 0, 0, 3, 30*time.Second)
		t.Synchronised(d, 20*time.Second)
		return d
	}
	d := start("client")
	file := filepath.Join(h.Dir, "kept", "nts.json")
	t.Eventually(30*time.Second, func() error {
		info, err := os.Stat(file)
		if err == nil && info.Mode().Perm() != 0o600 {
			err = fmt.Errorf("its mode is %v", info.Mode())
		}
		return err
	})
	t.Control("the client is served with authentication, and keeps a session")
	stop()
	exchanges := u.Exchanges()
	for i, end := range []func(*scene.Daemon){
		func(d *scene.Daemon) { d.Stop() },
		func(d *scene.Daemon) { t.Check(d.Signal(syscall.SIGKILL)); d.Stop() },
		func(d *scene.Daemon) { d.Stop() },
	} {
		end(d)
		begin := time.Now()
		d = start(fmt.Sprintf("client%d", i+1))
		if s := t.MustState(d).Own.Sources[0]; s.Cookies == nil || *s.Cookies < 6 {
			t.Fatal("start %d suffers: %+v", i+1, s)
		}
		t.Saw("start %d without a key exchange is synchronised after %.1f s", i+1, time.Since(begin).Seconds())
		t.Pause(17 * time.Second) // until it has kept something again
	}
	d.Stop()
	if n := u.Exchanges(); n != exchanges {
		t.Fatal("%d key exchanges", n-exchanges)
	}
	sent := map[string]bool{}
	u.Script(nil) // which takes the cookies from who collects them
	for _, c := range cookies {
		if len(c) == 0 || sent[string(c)] {
			t.Fatal("a request without a cookie, or a cookie that was sent before")
		}
		sent[string(c)] = true
	}
	// Whoever can read the file could forge the time: then it is not used.
	t.Check(os.Chmod(file, 0o644))
	d = t.Daemon(h, "exposed", scene.Client+"nts-state-path = \"/run/lab/kept/nts.json\"\n"+scene.NTS("server.test"))
	t.Eventually(20*time.Second, func() error {
		if !strings.Contains(d.Text(), "nts-state-not-used") {
			return fmt.Errorf("nothing is said of the mode of the file")
		}
		return nil
	})
	t.Hold(5*time.Second, func() error {
		if n := len(u.Requests()); n != len(sent) {
			return fmt.Errorf("%d requests with what others can read", n-len(sent))
		}
		return nil
	})
}

// certificate writes a certificate for server.test that is valid for some time.
func certificate(t *scene.Trial, h *lab.Host, valid time.Duration) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "server.test"}, DNSNames: []string{"server.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := t.Authority.Sign(template, key.Public())
	t.Check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	t.Check(err)
	for name, block := range map[string]*pem.Block{"server.chain.pem": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		t.Check(os.WriteFile(filepath.Join(h.Dir, name), pem.EncodeToMemory(block), 0o600))
	}
}

func expiry(t *scene.Trial) {
	h := t.Host("host")
	certificate(t, h, 15*time.Second)
	server := t.Daemon(h, "server", scene.Server+"[keyset]\nkey-storage-path = \"/run/lab/keys\"\n")
	t.Serving(server, "127.0.0.1:123")
	early := t.Daemon(h, "early", scene.Client+scene.NTS("server.test"))
	t.Samples(early, 0, 0, 3, 14*time.Second)
	t.Control("a client exchanges keys while the certificate is valid")
	t.Pause(13 * time.Second)
	// It has expired: who has keys goes on, who needs them is told why not.
	before := t.MustState(early).Own.Sources[0]
	late := t.Daemon(h, "late", scene.Client+scene.NTS("server.test"))
	t.Eventually(20*time.Second, func() error {
		s, _, err := late.Source(0)
		if err == nil && !strings.Contains(s.Text, "it is valid from") {
			err = fmt.Errorf("not said: %q", s.Text)
		}
		return err
	})
	t.Samples(early, 0, before.Taken(), 5, 20*time.Second)
	if s := t.MustState(late).Own.Sources[0]; s.Taken() > 0 {
		t.Fatal("an expired certificate was accepted")
	}
	certificate(t, h, time.Hour)
	server.Stop()
	server = t.Daemon(h, "server", scene.Server+"[keyset]\nkey-storage-path = \"/run/lab/keys\"\n")
	t.Serving(server, "127.0.0.1:123")
	begin := time.Now()
	t.Samples(late, 0, 0, 2, 90*time.Second)
	well(t, early, 30*time.Second)
	t.Saw("the association outlives the certificate; a newcomer is told when it was valid, and has keys %.0f s after the renewal", time.Since(begin).Seconds())
}

func standstill(t *scene.Trial) {
	h := t.Host("host")
	u := t.Upstream(h, "127.0.0.1:123")
	d := t.Daemon(h, "client", scene.Client+"[[source]]\nmode = \"server\"\naddress = \"127.0.0.1\"\n")
	t.Samples(d, 0, 0, 4, 30*time.Second)
	t.Synchronised(d, 20*time.Second)
	t.Control("the client follows the server")
	t.Check(d.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = d.Signal(syscall.SIGCONT) }) // it may have ended
	t.Pause(12 * time.Second)
	n := len(u.Requests())
	t.Check(d.Signal(syscall.SIGCONT))
	t.Pause(3 * time.Second)
	soon := len(u.Requests()) - n
	if soon < 1 || soon > 5 {
		t.Fatal("%d requests in the three seconds after it", soon)
	}
	now, _, err := d.Source(0)
	t.Check(err)
	t.Samples(d, 0, now.Taken(), 2, 20*time.Second)
	t.Check(d.Unmoved(0.05))
	t.Saw("%d requests in the three seconds after it, no wrong step", soon)
}
