package probe

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// TestOneSentenceSaysWhatIsWrong breaks NTS in every way that the checks tell
// apart.
func TestOneSentenceSaysWhatIsWrong(t *testing.T) {
	ca := testcert.NewCA(t)
	good := ca.Leaf([]string{"localhost"})
	day := 24 * time.Hour
	bare := testcert.NewCA(t).Leaf([]string{"localhost"})
	bare.TLS.Certificate = bare.TLS.Certificate[:1]
	for _, c := range []struct {
		name     string
		leaf     *testcert.Leaf
		fault    fault
		severity Severity
		class    string
		says     string
	}{
		{"all well", good, fault{}, OK, "works", "8 cookies"},
		{"intercepted", good, fault{strip: true}, Critical, "intercepted", "intercepted: the key exchange works"},
		{"filtered", good, fault{silent: true}, Critical, "filtered", "answers nothing, with NTS or without"},
		{"long packets filtered", good, fault{maxLength: 100}, Critical, "filtered-by-length", "nothing of"},
		{"longest packets filtered", good, fault{maxLength: 400}, Warning, "filtered-by-length", "octets pass, those of"},
		{"no NTS in the NTP server", good, fault{dropNTS: true}, Critical, "no-nts", "plain packets of the same length pass"},
		{"keys not shared", good, fault{nak: true}, Critical, "nts-nak", "does not accept the cookies"},
		{"another key", good, fault{wrongKey: true}, Critical, "forged", "does not authenticate"},
		{"another identifier", good, fault{wrongUID: true}, Critical, "forged", "unique identifier"},
		{"unsynchronised", good, fault{stratum: 16}, Critical, "unsynchronised", "not synchronised itself"},
		{"expired", ca.Leaf([]string{"localhost"}, testcert.Valid(time.Now().Add(-30*day), time.Now().Add(-3*day))), fault{}, Critical, "certificate-expired", "3 days ago"},
		{"not valid yet", ca.Leaf([]string{"localhost"}, testcert.Valid(time.Now().Add(3*day), time.Now().Add(30*day))), fault{}, Critical, "certificate-expired", "not valid yet"},
		{"expires soon", ca.Leaf([]string{"localhost"}, testcert.Valid(time.Now().Add(-30*day), time.Now().Add(3*day))), fault{}, Warning, "expires-soon", "expires in 2 days"},
		{"short-lived and young", ca.Leaf([]string{"localhost"}, testcert.Valid(time.Now().Add(-day), time.Now().Add(5*day))), fault{}, OK, "works", "8 cookies"},
		{"another name", ca.Leaf([]string{"other.test"}), fault{}, Critical, "certificate-name", "name mismatch"},
		{"another authority", testcert.NewCA(t).Leaf([]string{"localhost"}), fault{}, Critical, "certificate-authority", "authority that this machine does not know"},
		{"self-signed", testcert.SelfSigned(t, []string{"localhost"}), fault{}, Critical, "certificate-self-signed", "self-signed"},
		{"an unknown chain", testcert.NewCA(t).Leaf([]string{"localhost"}), fault{}, Critical, "certificate-authority", "does not know (\"CN=test authority\")"},
		{"without the intermediate", bare, fault{}, Critical, "certificate-authority", "sends no intermediate certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.fault)
			target := s.exchange(c.leaf)
			got := CheckNTS(t.Context(), CheckOptions{Target: target, Network: "ip4", Roots: ca.Pool(), Timeout: c.fault.timeout(), Lengths: true, Algorithms: true, CertificateDays: 14})
			if got.Severity != c.severity || got.Class != c.class || !strings.Contains(got.Sentence, c.says) {
				t.Errorf("%v %s: %s", got.Severity, got.Class, got.Sentence)
			}
			if got.Shown == nil || len(got.Shown.Chain) == 0 {
				t.Error("the chain is not shown")
			}
			var text strings.Builder
			if err := Checked([]*Check{got}).Write(&text); err != nil || !strings.HasPrefix(text.String(), "localhost: "+strings.ToUpper(c.severity.String())+": "+got.Sentence+"\n") {
				t.Errorf("%v\n%s", err, &text)
			}
		})
	}
}

func TestAWrongClockIsToldFromAnExpiredCertificate(t *testing.T) {
	ca := testcert.NewCA(t)
	now := time.Now()
	leaf := ca.Leaf([]string{"localhost"}, testcert.Valid(now.Add(100*time.Hour), now.Add(200*time.Hour)))
	c := &Check{now: now, Shown: &Shown{Leaf: leaf.Certificate}}
	offset := (150 * time.Hour).Seconds()
	c.Plain = &Answer{Offset: &offset}
	if f := c.validity(Finding{}); f.Class != "clock" || !strings.Contains(f.Sentence, "this machine's clock is off") {
		t.Errorf("%+v", f)
	}
	small := 0.5
	c.Plain.Offset = &small
	if f := c.validity(Finding{}); f.Class == "clock" {
		t.Errorf("%+v", f)
	}
}

func TestWhatIsNoKeyExchange(t *testing.T) {
	ca := testcert.NewCA(t)
	leaf := ca.Leaf([]string{"localhost"})
	web := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, NextProtos: []string{"h2"}}
	old := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, MaxVersion: tls.VersionTLS12}
	for _, c := range []struct {
		name, class, says string
		serve             func(net.Conn)
	}{
		{"a web server", "alpn", "not a key exchange", func(c net.Conn) { tls.Server(c, web).Handshake() }},
		{"an old TLS", "tls", "no more than TLS 1.2", func(c net.Conn) { tls.Server(c, old).Handshake() }},
		{"no TLS at all", "tls", "does not speak TLS", func(c net.Conn) { c.Write([]byte("220 mail.test ESMTP ready\r\n")) }},
		{"one that hangs up", "network", "cut off", func(net.Conn) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					c.serve(conn)
					conn.Close()
				}
			}()
			to := netip.MustParseAddrPort(l.Addr().String())
			got := CheckNTS(t.Context(), CheckOptions{Target: Target{"localhost", to.Port()}, Network: "ip4", Roots: ca.Pool(), Timeout: patient})
			if got.Severity != Critical || got.Class != c.class || !strings.Contains(got.Sentence, c.says) {
				t.Errorf("%v %s: %s", got.Severity, got.Class, got.Sentence)
			}
		})
	}
}

func TestNamesAndPortsThatAreNotThere(t *testing.T) {
	got := CheckNTS(t.Context(), CheckOptions{Target: Target{"2001:db8::1", 4460}, Network: "ip4", Timeout: patient})
	if got.Class != "dns" || got.Severity != Critical {
		t.Errorf("%v %s: %s", got.Severity, got.Class, got.Sentence)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	got = CheckNTS(t.Context(), CheckOptions{Target: Target{"127.0.0.1", to.Port()}, Timeout: patient})
	if got.Class != "refused" || got.Severity != Critical {
		t.Errorf("%v %s: %s", got.Severity, got.Class, got.Sentence)
	}
}

func TestQueryWithNTS(t *testing.T) {
	ca := testcert.NewCA(t)
	good := newServer(t, fault{}).exchange(ca.Leaf([]string{"localhost"}))
	o := QueryOptions{Network: "ip4", NTS: true, Timeout: patient, Count: 3, Client: ke.ClientRequest{Roots: ca.Pool()}}
	r := Summarise(Query(t.Context(), []Target{good}, o), false)
	if r.Status != OK || r.Servers[0].Received != 3 || !r.Servers[0].Best.Authenticated || r.Servers[0].AEAD != "AES-SIV-CMAC-512" {
		t.Errorf("%+v", r.Servers[0])
	}
	o.Client.Roots = testcert.NewCA(t).Pool()
	if r := Summarise(Query(t.Context(), []Target{good}, o), false); r.Status != Critical || r.Servers[0].Sent != 0 {
		t.Errorf("%+v", r.Servers[0])
	}
	// A server that is no pool names the same server again: it is asked once.
	o.Client.Roots, o.Pool = ca.Pool(), 4
	if rows := Query(t.Context(), []Target{good}, o); len(rows) != 1 || rows[0].Severity != OK {
		t.Errorf("%+v", rows)
	}
}

func TestSeverities(t *testing.T) {
	for _, c := range [][3]Severity{{OK, Warning, Warning}, {Warning, OK, Warning}, {Unknown, Critical, Critical}, {Warning, Unknown, Unknown}, {OK, OK, OK}} {
		if got := c[0].Worse(c[1]); got != c[2] {
			t.Errorf("%v with %v is %v", c[0], c[1], got)
		}
	}
}
