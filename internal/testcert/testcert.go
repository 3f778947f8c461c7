// Package testcert makes certificates for tests: an authority of a few
// microseconds' making, and whatever good or broken leaf a test needs. Nothing
// in it is random in a way that matters, and nothing in it is for production.
package testcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The validity of certificates unless an option says otherwise. It covers the
// year 2000, in which the clock of a testing/synctest bubble starts.
var (
	NotBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	NotAfter  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// CA is an authority.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
	serial      int64
	t           testing.TB
}

// NewCA makes an authority with a key of its own.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{key: newKey(t), serial: 1, t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ca.serial),
		Subject:      pkix.Name{CommonName: "test authority"},
		NotBefore:    NotBefore, NotAfter: NotAfter,
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca.Certificate = sign(t, template, template, ca.key.Public(), ca.key)
	return ca
}

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// PEM is the authority's certificate.
func (ca *CA) PEM() []byte { return encode("CERTIFICATE", ca.Certificate.Raw) }

// File writes the authority's certificate into the test's folder.
func (ca *CA) File() string { return WriteFile(ca.t, "ca.pem", ca.PEM()) }

// Option changes a leaf before it is signed.
type Option func(*x509.Certificate)

// Usage replaces the key usage, which is digitalSignature otherwise.
func Usage(u x509.KeyUsage) Option { return func(c *x509.Certificate) { c.KeyUsage = u } }

// Valid replaces the validity.
func Valid(from, to time.Time) Option {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// Leaf is a certificate for a server or client.
type Leaf struct {
	TLS         tls.Certificate // the chain: the leaf and the authority
	Certificate *x509.Certificate
	Key         crypto.Signer
	t           testing.TB
}

// Leaf makes a certificate for the names, which may be addresses.
func (ca *CA) Leaf(names []string, options ...Option) *Leaf {
	ca.t.Helper()
	ca.serial++
	leaf := newLeaf(ca.t, ca.serial, names, options, ca.Certificate, ca.key)
	leaf.TLS.Certificate = append(leaf.TLS.Certificate, ca.Certificate.Raw)
	return leaf
}

// SelfSigned makes a leaf that nobody but itself vouches for.
func SelfSigned(t testing.TB, names []string, options ...Option) *Leaf {
	t.Helper()
	return newLeaf(t, 1, names, options, nil, nil)
}

func newLeaf(t testing.TB, serial int64, names []string, options []Option, parent *x509.Certificate, signer crypto.Signer) *Leaf {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "test leaf"},
		NotBefore:    NotBefore, NotAfter: NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	for _, option := range options {
		option(template)
	}
	key := newKey(t)
	if parent == nil {
		parent, signer = template, key
	}
	cert := sign(t, template, parent, key.Public(), signer)
	return &Leaf{
		TLS:         tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		Certificate: cert, Key: key, t: t,
	}
}

// Files writes the chain, the leaf alone and the key as PEM into the test's
// folder.
func (l *Leaf) Files() (chain, leaf, key string) {
	l.t.Helper()
	var all []byte
	for _, der := range l.TLS.Certificate {
		all = append(all, encode("CERTIFICATE", der)...)
	}
	return WriteFile(l.t, "chain.pem", all),
		WriteFile(l.t, "leaf.pem", encode("CERTIFICATE", l.Certificate.Raw)),
		WriteFile(l.t, "key.pem", l.KeyPEM())
}

// KeyPEM is the key as PKCS#8.
func (l *Leaf) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(l.Key)
	if err != nil {
		l.t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// WriteFile writes a file into a new folder of the test's and returns its
// path.
func WriteFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
