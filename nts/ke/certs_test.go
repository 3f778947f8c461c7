package ke

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
)

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// must is a value of a func that does not fail in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pemFile(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var content []byte
	for _, b := range blocks {
		content = append(content, pem.EncodeToMemory(b)...)
	}
	return testcert.WriteFile(t, "file.pem", content)
}

func TestKeyForms(t *testing.T) {
	leaf := testcert.NewCA(t).Leaf([]string{"ke.example.net"})
	chain, _, pkcs8 := leaf.Files()
	sec1 := pemFile(t,
		&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}},
		&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(leaf.Key.(*ecdsa.PrivateKey)))})

	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	rsaCert := must(x509.CreateCertificate(rand.Reader,
		&x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testcert.NotBefore, NotAfter: testcert.NotAfter},
		leaf.Certificate, &rsaKey.PublicKey, leaf.Key))
	rsaChain := pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: rsaCert})
	pkcs1 := pemFile(t, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})

	for _, c := range []struct{ name, chain, key string }{
		{"PKCS#8", chain, pkcs8}, {"SEC1", chain, sec1}, {"PKCS#1", rsaChain, pkcs1},
	} {
		pair, err := LoadKeyPair(c.chain, c.key, today)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if pair.TLS.PrivateKey == nil || pair.TLS.Leaf == nil {
			t.Errorf("%s: incomplete: %+v", c.name, pair)
		}
	}
	pair, err := LoadKeyPair(chain, pkcs8, today)
	if err != nil || len(pair.Warnings) != 0 || len(pair.TLS.Certificate) != 2 {
		t.Errorf("%+v, %v", pair, err)
	}
}

// Each mistake gets one line that names the file and what to do.
func TestKeyPairMistakes(t *testing.T) {
	ca := testcert.NewCA(t)
	leaf, other := ca.Leaf([]string{"ke.example.net"}), ca.Leaf([]string{"ke.example.net"})
	chain, single, key := leaf.Files()
	_, _, otherKey := other.Files()
	swapped := pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}, &pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate.Raw})
	text := testcert.WriteFile(t, "text", []byte("hello\n"))
	missing := filepath.Join(t.TempDir(), "missing.pem")
	encrypted := pemFile(t, &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	legacy := pemFile(t, &pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x"),
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "DES-EDE3-CBC,00"}})
	damagedKey := pemFile(t, &pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	damagedCert := pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	odd := pemFile(t, &pem.Block{Type: "DSA PRIVATE KEY", Bytes: []byte("x")})

	for _, c := range []struct {
		name, chain, key string
		file             string // that the line names
		want             string
	}{
		{"missing chain", missing, key, missing, "cannot be read: no such file or directory; correct the path"},
		{"missing key", chain, missing, missing, "cannot be read: no such file or directory; correct the path"},
		{"a folder", filepath.Dir(key), key, filepath.Dir(key), "cannot be read: is a directory; name the right file"},
		{"no certificate", text, key, text, "contains no certificate"},
		{"no key", chain, text, text, "contains no key"},
		{"files swapped", key, chain, key, "are the two files swapped?"},
		{"key is a certificate", chain, single, single, "are the two files swapped?"},
		{"mismatch", chain, otherKey, otherKey, "does not belong to the certificate in " + chain},
		{"authority first", swapped, key, swapped, "put the server's own certificate first"},
		{"encrypted", chain, encrypted, encrypted, "is encrypted with a passphrase"},
		{"encrypted, old form", chain, legacy, legacy, "is encrypted with a passphrase"},
		{"damaged key", chain, damagedKey, damagedKey, "cannot be used"},
		{"damaged certificate", damagedCert, key, damagedCert, "certificate 1 is damaged"},
		{"DSA", chain, odd, odd, "it must be PKCS#8, PKCS#1 or SEC1"},
	} {
		_, err := LoadKeyPair(c.chain, c.key, today)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		if line := err.Error(); strings.Contains(line, "\n") || !strings.Contains(line, c.file) || !strings.Contains(line, c.want) {
			t.Errorf("%s: %q lacks %q", c.name, line, c.want)
		}
	}
}

// One bad file does not hide the other, and each is told from the other.
func TestBothFilesAreReported(t *testing.T) {
	leaf, other := testcert.NewCA(t).Leaf([]string{"ke.example.net"}), testcert.NewCA(t).Leaf([]string{"ke.example.net"})
	chain, _, key := leaf.Files()
	_, _, otherKey := other.Files()
	text := testcert.WriteFile(t, "text", []byte("hello\n"))
	for _, c := range []struct{ chain, key, wantChain, wantKey string }{
		{text, text, "contains no certificate", "contains no key"},
		{text, key, "contains no certificate", ""},
		{chain, text, "", "contains no key"},
		{chain, otherKey, "", "does not belong"},
	} {
		_, err := LoadKeyPair(c.chain, c.key, today)
		both, ok := errors.AsType[*KeyPairError](err)
		if !ok {
			t.Errorf("%v", err)
			continue
		}
		if !says(both.Chain, c.wantChain) || !says(both.Key, c.wantKey) {
			t.Errorf("chain %v, key %v; want %+v", both.Chain, both.Key, c)
		}
		if line := err.Error(); !strings.Contains(line, c.wantChain) || !strings.Contains(line, c.wantKey) || strings.Contains(line, "\n") {
			t.Errorf("%q, want %+v", line, c)
		}
	}
}

// says reports whether an error has a text; empty stands for no error.
func says(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

func TestErrorsShowAbsolutePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	_, err := LoadKeyPair("missing.pem", "missing.key", today)
	real, _ := filepath.EvalSymlinks(dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "missing.pem")) && !strings.Contains(err.Error(), filepath.Join(real, "missing.pem")) {
		t.Errorf("%v", err)
	}
}

// An operator who may not read a file learns that, and what to do, as does one
// whose file has another fault.
func TestUnreadableHasARemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fs.ErrPermission, "let the user that this runs as read the file and enter every directory above it"},
		{fs.ErrNotExist, "correct the path, or put the file there"},
		{io.ErrUnexpectedEOF, "name the right file"},
	} {
		got := unreadable("private key", "/k.pem", &fs.PathError{Op: "open", Path: "/k.pem", Err: c.err}).Error()
		if want := "private key /k.pem cannot be read: " + c.err.Error() + "; " + c.want; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// It is so with a real file.
func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	chain, _, key := testcert.NewCA(t).Leaf(nil).Files()
	if err := os.Chmod(key, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeyPair(chain, key, today); err == nil || !strings.Contains(err.Error(), key+" cannot be read: permission denied; let the user") {
		t.Errorf("%v", err)
	}
}

// What clients will refuse is said before they do.
func TestServerCertificateWarnings(t *testing.T) {
	ca := testcert.NewCA(t)
	names := []string{"ke.example.net"}
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name string
		leaf *testcert.Leaf
		want string // of the only warning; empty: none
	}{
		{"good", ca.Leaf(names), ""},
		{"no key usage at all", ca.Leaf(names, testcert.Usage(0)), ""},
		{"both usages", ca.Leaf(names, testcert.Usage(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment)), ""},
		{"key encipherment only", ca.Leaf(names, testcert.Usage(x509.KeyUsageKeyEncipherment)), "GnuTLS (chrony)"},
		{"self-signed", testcert.SelfSigned(t, names), "self-signed"},
		{"no name", ca.Leaf(nil), "subject alternative name"},
		{"an address for a name", ca.Leaf([]string{"192.0.2.1"}), ""},
		{"expired", ca.Leaf(names, testcert.Valid(year(2020), year(2025))), "expired on 2025-01-01"},
		{"not valid yet", ca.Leaf(names, testcert.Valid(year(2027), year(2030))), "valid only from 2027-01-01"},
	} {
		chain, _, key := c.leaf.Files()
		pair, err := LoadKeyPair(chain, key, today)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		switch {
		case c.want == "" && len(pair.Warnings) != 0:
			t.Errorf("%s: warnings %q", c.name, pair.Warnings)
		case c.want != "" && (len(pair.Warnings) != 1 || !strings.Contains(pair.Warnings[0], c.want) || !strings.Contains(pair.Warnings[0], chain)):
			t.Errorf("%s: warnings %q, want %q", c.name, pair.Warnings, c.want)
		}
	}
}

func TestPoolCertificateStandsAlone(t *testing.T) {
	leaf := testcert.NewCA(t).Leaf([]string{"pool.example.net"})
	chain, single, key := leaf.Files()
	got, err := LoadPoolCertificate(single)
	if err != nil || !got.Equal(leaf.Certificate) {
		t.Errorf("%v, %v", got, err)
	}
	for path, want := range map[string]string{
		chain:         "pool certificate file at " + chain + " contains 2 certificates; give only the first",
		key:           "contains a private key and no certificate",
		chain + ".no": "cannot be read",
	} {
		if _, err := LoadPoolCertificate(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// certificate-authority adds to the system's roots.
func TestRootsAddToTheSystems(t *testing.T) {
	ca := testcert.NewCA(t)
	system, err := LoadRoots("")
	if err != nil {
		t.Fatal(err)
	}
	both, err := LoadRoots(ca.File())
	if err != nil {
		t.Fatal(err)
	}
	want := system.Clone()
	want.AddCert(ca.Certificate)
	if !both.Equal(want) || both.Equal(system) {
		t.Error("not the system's roots and this one")
	}
	for _, path := range []string{testcert.WriteFile(t, "empty.pem", nil), "/nonexistent/ca.pem"} {
		if _, err := LoadRoots(path); err == nil || !strings.Contains(err.Error(), "certificate authority "+path) {
			t.Errorf("%v", err)
		}
	}
}

// RFC 5280 section 4.2.1.9: "If the basic constraints extension is not present
// in a version 3 certificate, or the extension is present but the cA boolean is
// not asserted, then the certified public key MUST NOT be used to verify
// certificate signatures."
func TestAServersCertificateIsNoAuthority(t *testing.T) {
	ca := testcert.NewCA(t)
	leaf := ca.Leaf([]string{"ke.example.net"})
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	selfSigned := func(c x509.Certificate) *pem.Block {
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), testcert.NotBefore, testcert.NotAfter
		return &pem.Block{Type: "CERTIFICATE", Bytes: must(x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key))}
	}
	for _, c := range []struct {
		name  string
		block []*pem.Block
		want  string
	}{
		{"authority", []*pem.Block{{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}}, ""},
		{"leaf", []*pem.Block{{Type: "CERTIFICATE", Bytes: leaf.Certificate.Raw}}, "certificate 1 "},
		{"leaf behind its authority", []*pem.Block{{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}, {Type: "CERTIFICATE", Bytes: leaf.Certificate.Raw}}, "certificate 2 "},
		{"no constraints", []*pem.Block{selfSigned(x509.Certificate{})}, "certificate 1 "},
		{"authority of lists alone", []*pem.Block{selfSigned(x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCRLSign})}, "certificate 1 "},
		{"authority of any use", []*pem.Block{selfSigned(x509.Certificate{BasicConstraintsValid: true, IsCA: true})}, ""},
	} {
		got := strings.Join(RootWarnings(pemFile(t, c.block...)), "\n")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	if got := RootWarnings("/nonexistent/ca.pem"); got != nil {
		t.Errorf("a file that is not there: %q", got)
	}
	if got := RootWarnings(""); got != nil {
		t.Errorf("no file: %q", got)
	}
}

func TestHardenedConfiguration(t *testing.T) {
	c := harden(&tls.Config{MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}})
	if c.MinVersion != tls.VersionTLS13 || !c.DynamicRecordSizingDisabled || !c.SessionTicketsDisabled || len(c.NextProtos) != 1 {
		t.Errorf("%+v", c)
	}
}
