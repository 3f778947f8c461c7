package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a certificate authority that exists for one run.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// NewAuthority makes an authority with a fresh P-256 key.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(name)
	template.IsCA = true
	template.NotBefore, template.NotAfter = template.NotBefore.AddDate(-15, 0, 0), template.NotAfter.AddDate(1, 0, 0) // rows play certificates of other times
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{key: key, cert: cert}, nil
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		BasicConstraintsValid: true,
	}
}

// WriteRoot writes the authority's own certificate.
func (a *Authority) WriteRoot(path string) error {
	return os.WriteFile(path, pemBlock("CERTIFICATE", a.cert.Raw), 0o644)
}

// WriteLeaf makes a certificate for names (or addresses) that is good for both ends of a TLS connection, and writes
// NAME.key, NAME.pem (the certificate alone) and NAME.chain.pem below dir.
func (a *Authority) WriteLeaf(dir, name string, names ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return a.writeLeaf(dir, name, key, names)
}

// WriteRSALeaf is WriteLeaf with a key of RSA with 2048 bits.
func (a *Authority) WriteRSALeaf(dir, name string, names ...string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return a.writeLeaf(dir, name, key, names)
}

func (a *Authority) writeLeaf(dir, name string, key crypto.Signer, names []string) error {
	template := template(names[0])
	// GnuTLS clients refuse a TLS 1.3 certificate that may not sign.
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	leaf := pemBlock("CERTIFICATE", der)
	chain := append(append([]byte{}, leaf...), pemBlock("CERTIFICATE", a.cert.Raw)...)
	for suffix, text := range map[string][]byte{".pem": leaf, ".chain.pem": chain, ".key": pemBlock("PRIVATE KEY", keyDER)} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Sign makes a certificate as the template says, for rows that need wrong ones; DER.
func (a *Authority) Sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
}
