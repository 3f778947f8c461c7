package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// authority signs certificates for one run.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// day is what validity is counted in.
const day = 24 * time.Hour

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name, -day, 3650*day)
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{key, cert}, err
}

func template(name string, from, to time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: now.Add(from), NotAfter: now.Add(to),
	}
}

// leaf writes FILE.chain.pem and FILE.key below dir: a certificate for name,
// valid from so long after now to so long after now.
func (a *authority) leaf(dir, file, name string, from, to time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template(name, from, to)
	t.KeyUsage, t.DNSNames = x509.KeyUsageDigitalSignature, []string{name}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	chain := append(block("CERTIFICATE", der), block("CERTIFICATE", a.cert.Raw)...)
	if err := os.WriteFile(filepath.Join(dir, file+".chain.pem"), chain, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file+".key"), block("PRIVATE KEY", raw), 0o600)
}

func (a *authority) pem() string { return string(block("CERTIFICATE", a.cert.Raw)) }

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
