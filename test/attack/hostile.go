package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Hostile key-exchange servers. One daemon has a source for each of them, and an honest one.
var hostileRows = []scene.Row{
	{ID: "T20", P0: true, What: "key-exchange servers with certificates that are expired, early, foreign or nobody's", Prove: wrongCertificates},
	{ID: "T21", P0: true, What: "key exchanges that give cookies of 0 to 65,535 octets, too many, or never end", Prove: wrongCookies},
	{ID: "T22", P0: true, What: "answers against every rule of RFC 8915", Prove: wrongAnswers},
	{ID: "T56", What: "server and port records that lead into the machine or nowhere", Prove: wrongServerRecords},
	{ID: "T54", What: "certificate chains made to cost time", Prove: costlyChains},
}

// hostileServer is a key-exchange server and what it does.
type hostileServer struct {
	name   string
	config *tls.Config // nil for one with a good certificate
	handle func(c *tls.Conn)
	good   bool // its keys are to be used
}

// cookies are n cookie records of some length.
func cookies(n, length int) []byte {
	return slices.Repeat(record(5, false, bytes.Repeat([]byte{7}, length)...), n)
}

// siege starts all these servers, an honest one, and a client of them all that has exchanged keys with the honest one.
func siege(t *scene.Trial, servers []hostileServer) (*scene.Daemon, *scene.Sniffer) {
	return siegeAlso(t, servers, func(i int) string { return scene.NTS(fmt.Sprintf("h%d.test", i)) })
}

// siegeAlso is siege with sources that the row writes.
func siegeAlso(t *scene.Trial, servers []hostileServer, source func(i int) string) (*scene.Daemon, *scene.Sniffer) {
	h := t.Host("besieged")
	names := map[string]netip.Addr{"honest.test": netip.MustParseAddr("127.0.0.1")}
	leafNames := []string{"honest.test"}
	for i := range servers {
		name := fmt.Sprintf("h%d.test", i)
		names[name] = netip.AddrFrom4([4]byte{127, 0, 10, byte(i + 1)})
		leafNames = append(leafNames, name)
	}
	t.Check(h.SetNames(names))
	t.Check(t.Authority.WriteLeaf(h.Dir, "many", leafNames...))
	pair, err := tls.LoadX509KeyPair(filepath.Join(h.Dir, "many.chain.pem"), filepath.Join(h.Dir, "many.key"))
	t.Check(err)
	wire := t.Sniff(h, "lo")
	u := t.Upstream(h, "127.0.0.1:123")
	t.KeysWith(h, u, "127.0.0.1:4460", pair, scene.At("127.0.0.1:123"))
	var text strings.Builder
	text.WriteString(scene.Client + scene.NTS("honest.test"))
	for i, s := range servers {
		config := s.config
		if config == nil {
			config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13}
		}
		t.Hostile(h, fmt.Sprintf("127.0.10.%d:4460", i+1), config, s.handle)
		text.WriteString(source(i))
	}
	d := t.Daemon(h, "client", text.String())
	t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Control("the client exchanges keys with the honest server among them")
	return d, wire
}

// besieged checks that the client takes keys from nobody but those servers that are good.
func besieged(t *scene.Trial, servers []hostileServer) *scene.Daemon {
	d, wire := siege(t, servers)
	t.Eventually(40*time.Second, func() error { // every one of them has been asked
		for _, row := range t.MustState(d).Own.Sources {
			if row.Source > 0 && !servers[row.Source-1].good && row.Text == "" {
				return fmt.Errorf("%s: no outcome yet (%s)", servers[row.Source-1].name, row.Condition)
			}
		}
		return nil
	})
	t.Pause(2 * time.Second)
	for _, row := range t.MustState(d).Own.Sources {
		if row.Source == 0 {
			continue
		}
		s := servers[row.Source-1]
		if has := row.Cookies != nil && *row.Cookies > 0; has != s.good {
			t.Fatal("%s: cookies %v, %s: %s", s.name, has, row.Condition, row.Text)
		}
		if !s.good && len(row.Text) > 600 {
			t.Fatal("%s: %d octets of text", s.name, len(row.Text))
		}
	}
	for _, p := range wire.Seen() {
		if p.To.Port() == 123 && len(p.Payload) == 48 {
			t.Fatal("a plain request to %s", p.To)
		}
	}
	t.Alive(d.Process)
	return d
}

func wrongCertificates(t *scene.Trial) {
	never := func(c *tls.Conn) { scene.Says(message(protocols, aeads, cookies(8, 100), end))(c) }
	now := time.Now()
	cert := func(change func(c *x509.Certificate), names ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{leaf(t, change, names...)}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13}
	}
	var servers []hostileServer
	add := func(name string, config *tls.Config) {
		servers = append(servers, hostileServer{name, config, never, false})
	}
	own := func() string { return fmt.Sprintf("h%d.test", len(servers)) }
	servers = append(servers, hostileServer{"good", cert(nil, own()), never, true})
	add("expired", cert(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }, own()))
	add("not yet valid", cert(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }, own()))
	add("another name", cert(nil, "other.test"))
	add("no name but the common one", cert(func(c *x509.Certificate) { c.Subject.CommonName = own() }))
	add("an address instead", cert(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 10, byte(len(servers)+1))} }))
	add("a wildcard above", cert(nil, "*."+own()))
	add("for clients only", cert(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, own()))
	add("self-signed", &tls.Config{Certificates: []tls.Certificate{selfSigned(t, own())}, NextProtos: []string{nts.ALPN}})
	add("of another authority", &tls.Config{Certificates: []tls.Certificate{foreignLeaf(t, own())}, NextProtos: []string{nts.ALPN}})
	besieged(t, servers)
	t.Saw("%d certificates refused, a good one taken", len(servers)-1)
}

func wrongCookies(t *scene.Trial) {
	var servers []hostileServer
	add := func(name string, good bool, m []byte) {
		servers = append(servers, hostileServer{name: name, handle: scene.Says(m), good: good})
	}
	add("cookies of 100 octets", true, message(protocols, aeads, cookies(8, 100), end))
	add("cookies of 1,024 octets", true, message(protocols, aeads, cookies(8, 1024), end))
	add("cookies of 1,025 octets", false, message(protocols, aeads, cookies(8, 1025), end))
	add("100 cookies", true, message(protocols, aeads, cookies(100, 100), end))
	add("no cookie", false, message(protocols, aeads, end))
	add("empty cookies", false, message(protocols, aeads, cookies(8, 0), end))
	add("cookies of 65,535 octets", false, message(protocols, aeads, cookies(1, 65535), end))
	add("cookies of 1,500 octets", false, message(protocols, aeads, cookies(8, 1500), end))
	add("100,000 cookies", false, message(protocols, aeads, cookies(100000, 100), end))
	servers = append(servers, hostileServer{name: "an answer without end", handle: func(c *tls.Conn) {
		b := make([]byte, 4096)
		_, err := c.Read(b)
		for err == nil {
			_, err = c.Write(cookies(100, 100))
		}
	}}, hostileServer{name: "an answer that stalls", handle: func(c *tls.Conn) {
		b := make([]byte, 4096)
		_, _ = c.Read(b)
		_, _ = c.Write(message(protocols, aeads))
		_, _ = c.Read(b) // until the client has had enough
	}})
	d := besieged(t, servers)
	m, err := lab.Memory(d.Pid())
	t.Check(err)
	if m > 100<<20 {
		t.Fatal("%d octets of memory", m)
	}
	t.Saw("%d servers, three usable, memory %d MiB", len(servers), m>>20)
}

func wrongAnswers(t *scene.Trial) {
	ok := cookies(8, 100)
	var servers []hostileServer
	add := func(name string, records ...[]byte) {
		servers = append(servers, hostileServer{name: name, handle: scene.Says(message(records...))})
	}
	servers = append(servers, hostileServer{name: "an honest answer", handle: scene.Says(message(protocols, aeads, ok, end)), good: true})
	add("Error 0", record(2, true, 0, 0), end)
	add("Error 1", record(2, true, 0, 1), end)
	add("Error 2", record(2, true, 0, 2), end)
	add("unknown Error", record(2, true, 0x70, 0), end)
	add("Error beside keys", protocols, aeads, record(2, true, 0, 2), ok, end)
	add("Warning", protocols, aeads, record(3, true, 0, 1), ok, end)
	add("Error of one octet", record(2, true, 0), end)
	add("unknown critical record", protocols, aeads, record(0x4321, true), ok, end)
	add("no protocol", aeads, ok, end)
	add("two protocol records", protocols, protocols, aeads, ok, end)
	add("empty protocol record", record(1, true), aeads, ok, end)
	add("a protocol that was not offered", record(1, true, 0, 7), aeads, ok, end)
	add("no algorithm", protocols, ok, end)
	add("two algorithm records", protocols, aeads, aeads, ok, end)
	add("two algorithms", protocols, record(4, true, 0, 15, 0, 17), ok, end)
	add("an algorithm that was not offered", protocols, record(4, true, 0, 1), ok, end)
	add("no end", protocols, aeads, ok)
	add("end with a body", protocols, aeads, ok, record(0, true, 1))
	add("end that is not critical", protocols, aeads, ok, record(0, false))
	add("a record that is cut", protocols, aeads, ok, []byte{0, 5, 0xff})
	add("nothing")
	add("garbage", scene.Random(500))
	servers = append(servers, hostileServer{name: "resets", handle: func(c *tls.Conn) { c.NetConn().Close() }})
	besieged(t, servers)
	t.Saw("%d answers refused, an honest one taken", len(servers)-1)
}

func wrongServerRecords(t *scene.Trial) {
	ok := cookies(8, 100)
	var servers []hostileServer
	add := func(name, server string, port ...byte) {
		m := [][]byte{protocols, aeads, record(6, false, []byte(server)...)}
		if len(port) > 0 {
			m = append(m, record(7, false, port...))
		}
		servers = append(servers, hostileServer{name: name, handle: scene.Says(message(append(m, ok, end)...))})
	}
	add("a server elsewhere", "127.0.0.78")
	for _, addr := range []string{"0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1%lo", "fe80::1", "::", "ff02::101", "[::1]", "127.0.0.1:123",
		"no.such.name.test", "a b.test", "x\ny.test", "\xc3\xa4.test", "", strings.Repeat("a.", 150) + "test", "-", "127.1", "0x7f.1"} {
		add(fmt.Sprintf("server %.20q", addr), addr)
	}
	add("port 0", "127.0.0.77", 0, 0)
	add("port of one octet", "127.0.0.77", 1)
	add("port of four octets", "127.0.0.77", 0, 0, 0, 123)
	besiegedLoosely(t, servers)
	t.Saw("%d records refused or led nowhere", len(servers)-1)
}

// besiegedLoosely is besieged for servers whose keys may be taken although nobody can be asked with them: what counts is
// that no measurement comes of it, nothing goes where it must not, and the honest server is still asked.
func besiegedLoosely(t *scene.Trial, servers []hostileServer) {
	d, wire := siege(t, servers)
	t.Pause(12 * time.Second)
	t.Samples(d, 0, 0, 8, 30*time.Second)
	for _, row := range t.MustState(d).Own.Sources {
		if row.Source > 0 && row.Taken() > 0 {
			t.Fatal("%s gave measurements", servers[row.Source-1].name)
		}
	}
	// Who is not resolved by the hosts file may be asked for; requests go to the honest server and to that one elsewhere.
	elsewhere := 0
	for _, p := range wire.Seen() {
		switch {
		case p.From.Port() == 123 || p.To.Port() == 53 || p.From.Port() == 53 || p.To == scene.At("127.0.0.1:123"):
		case p.To == scene.At("127.0.0.78:123"):
			elsewhere++
		default:
			t.Fatal("a datagram from %s to %s", p.From, p.To)
		}
	}
	if elsewhere == 0 {
		t.Fatal("nobody was asked at the address of a good record: the row shows nothing")
	}
	t.Control("a record that names a server elsewhere leads there")
	t.Alive(d.Process)
}

// wrongServers are servers that speak no NTS-KE or an older TLS.
func wrongServers(t *scene.Trial) {
	good := scene.Says(message(protocols, aeads, cookies(8, 100), end))
	pair := leaf(t, nil, "h0.test", "h1.test", "h2.test", "h3.test")
	besieged(t, []hostileServer{
		{"an honest one", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}}, good, true},
		{"no application protocol", &tls.Config{Certificates: []tls.Certificate{pair}}, good, false},
		{"another one", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}, good, false},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}, MaxVersion: tls.VersionTLS12}, good, false},
	})
	t.Saw("servers without ntske/1 or with TLS 1.2 are refused")
}

// leaf makes a certificate of the run's authority, with changes.
func leaf(t *scene.Trial, change func(c *x509.Certificate), names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: names,
	}
	if change != nil {
		change(template)
	}
	der, err := t.Authority.Sign(template, key.Public())
	t.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func selfSigned(t *scene.Trial, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	t.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// foreignLeaf is a certificate of an authority that differs from the trusted one in its key only.
func foreignLeaf(t *scene.Trial, name string) tls.Certificate {
	dir, err := os.MkdirTemp(t.Dir, "foreign-")
	t.Check(err)
	t.Check(t.Wrong.WriteLeaf(dir, "leaf", name))
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "leaf.chain.pem"), filepath.Join(dir, "leaf.key"))
	t.Check(err)
	return pair
}

// costlyChains are good or bad; what counts is that finding that out costs little. Each is for the name that is asked for:
// with another name nothing else of a certificate is looked at.
func costlyChains(t *scene.Trial) {
	answers := scene.Says(message(protocols, aeads, cookies(8, 100), end))
	names := make([]string, 8000)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.test", i)
	}
	serving := func(chain tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{chain}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13}
	}
	servers := []hostileServer{
		{"one name", serving(leaf(t, nil, "h0.test")), answers, true},
		{"8,000 names", serving(leaf(t, nil, append([]string{"h1.test"}, names...)...)), answers, true},
		{"200 issuers of one name", serving(manyIssuers(t, "h2.test")), answers, false},
		{"2,000 constraints on 2,000 names", serving(constrained(t, names[:2000], "h3.test")), answers, false},
	}
	begin := time.Now()
	d, _ := siege(t, servers)
	t.Eventually(30*time.Second, func() error {
		for _, row := range t.MustState(d).Own.Sources {
			if row.Source > 0 && row.Text == "" && (row.Cookies == nil || *row.Cookies == 0) {
				return fmt.Errorf("%s: no outcome yet (%s)", servers[row.Source-1].name, row.Condition)
			}
		}
		return nil
	})
	took := time.Since(begin)
	spent, err := lab.CPU(d.Pid())
	t.Check(err)
	if spent > 2*time.Second || took > 20*time.Second {
		t.Fatal("%v of processor time in %v", spent, took)
	}
	for _, row := range t.MustState(d).Own.Sources {
		if row.Source == 0 {
			continue
		}
		s := servers[row.Source-1]
		if has := row.Cookies != nil && *row.Cookies > 0; s.good && !has {
			t.Fatal("%s is refused: %s", s.name, row.Text)
		} else if s.name == "200 issuers of one name" && has {
			t.Fatal("a chain to nobody is taken")
		}
	}
	t.Saw("three hostile chains are done with after %v, with %v of processor time for all of the daemon", took.Round(time.Millisecond), spent.Round(time.Millisecond))
}

// manyIssuers is a certificate of nobody's authority with 200 certificates that might each have signed it.
func manyIssuers(t *scene.Trial, name string) tls.Certificate {
	issuer := func() (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		t.Check(err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "issuer"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		t.Check(err)
		return template, key, der
	}
	parent, key, _ := issuer()
	chain := signed(t, parent, key, []string{name})
	for range 200 {
		_, _, der := issuer()
		chain.Certificate = append(chain.Certificate, der)
	}
	return chain
}

// constrained is a certificate for many names of an authority that may sign for just these, each by a rule of its own.
func constrained(t *scene.Trial, names []string, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Check(err)
	parent := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "constrained"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: append([]string{name}, names...),
	}
	der, err := t.Authority.Sign(parent, key.Public())
	t.Check(err)
	chain := signed(t, parent, key, append([]string{name}, names...))
	chain.Certificate = append(chain.Certificate, der)
	return chain
}

// signed is a server's certificate of an authority that this process plays.
func signed(t *scene.Trial, parent *x509.Certificate, by *ecdsa.PrivateKey, names []string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	t.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
