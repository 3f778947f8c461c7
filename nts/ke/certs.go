package ke

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// KeyPair is a certificate chain with its key, and what a person should know
// about them before clients complain.
type KeyPair struct {
	TLS      tls.Certificate
	Warnings []string // one line each
}

// LoadKeyPair reads a PEM certificate chain, the server's own certificate
// first, and the PEM key of that certificate: PKCS#8, PKCS#1 or SEC1, not
// encrypted. now is for the validity, which only earns a warning: at boot the
// clock may be wrong. Its error is a *KeyPairError, which has both files if
// neither will do.
func LoadKeyPair(chainPath, keyPath string, now time.Time) (*KeyPair, error) {
	chain, chainErr := readCertificates("certificate chain", chainPath)
	key, keyErr := readKey(keyPath)
	if chainErr == nil && keyErr == nil {
		chainErr, keyErr = match(chain, key, chainPath, keyPath)
	}
	if chainErr != nil || keyErr != nil {
		return nil, &KeyPairError{Chain: chainErr, Key: keyErr}
	}
	pair := &KeyPair{TLS: tls.Certificate{PrivateKey: key, Leaf: chain[0]}}
	for _, c := range chain {
		pair.TLS.Certificate = append(pair.TLS.Certificate, c.Raw)
	}
	pair.Warnings = serverWarnings(chain[0], absolute(chainPath), now)
	return pair, nil
}

// KeyPairError is why a certificate chain and its key cannot be used. One of
// the two may be nil.
type KeyPairError struct {
	Chain error // one line about the file of the chain
	Key   error // one line about the file of the key
}

// Error has one line for both.
func (e *KeyPairError) Error() string {
	switch {
	case e.Key == nil:
		return e.Chain.Error()
	case e.Chain == nil:
		return e.Key.Error()
	default:
		return e.Chain.Error() + "; " + e.Key.Error()
	}
}

// match makes sure that the key belongs to the first certificate, and says
// which of the two files is to be put right.
func match(chain []*x509.Certificate, key crypto.Signer, chainPath, keyPath string) (chainErr, keyErr error) {
	for i, c := range chain {
		if !samePublicKey(c.PublicKey, key.Public()) {
			continue
		}
		if i == 0 {
			return nil, nil
		}
		return fmt.Errorf("certificate chain %s: the key in %s belongs to certificate %d; put the server's own certificate first",
			absolute(chainPath), absolute(keyPath), i+1), nil
	}
	return nil, fmt.Errorf("private key %s does not belong to the certificate in %s; name the key that the certificate was made for",
		absolute(keyPath), absolute(chainPath))
}

func samePublicKey(a, b crypto.PublicKey) bool {
	switch k := a.(type) {
	case *rsa.PublicKey:
		return k.Equal(b)
	case *ecdsa.PublicKey:
		return k.Equal(b)
	case ed25519.PublicKey:
		return k.Equal(b)
	default:
		return false
	}
}

// serverWarnings finds what will make clients refuse a server's certificate.
func serverWarnings(leaf *x509.Certificate, path string, now time.Time) []string {
	var warnings []string
	warn := func(format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf("certificate "+path+": "+format, args...))
	}
	if isSelfSigned(leaf) {
		warn("it is self-signed, and clients (ours and ntpd-rs) refuse that; sign it with an authority of your own")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		warn("its key usage lacks digitalSignature, and clients with GnuTLS (chrony) refuse that; make it with keyUsage = digitalSignature")
	}
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		warn("it has no subject alternative name, and clients refuse that; make it with subjectAltName")
	}
	switch {
	case now.After(leaf.NotAfter):
		warn("it expired on %s; renew it", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		warn("it is valid only from %s; check this machine's clock", day(leaf.NotBefore))
	}
	return warnings
}

// LoadRoots gives the system's roots together with the authorities in a PEM
// file, or the system's roots alone if the path is empty.
func LoadRoots(path string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if path == "" {
		return roots, nil
	}
	certs, err := readCertificates("certificate authority", path)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		roots.AddCert(c)
	}
	return roots, nil
}

// RootWarnings finds certificates in a file of authorities that are none: what
// they signed is refused (RFC 5280 section 4.2.1.9). A file that cannot be
// read gives no warnings, since LoadRoots says so.
func RootWarnings(path string) []string {
	if path == "" {
		return nil
	}
	certs, err := readCertificates("certificate authority", path)
	if err != nil {
		return nil
	}
	var warnings []string
	for i, c := range certs {
		signs := c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0
		// Version 1 has no extensions to say it in.
		if signs && (c.IsCA || c.Version < 3) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("certificate authority %s: certificate %d (%.64q) is not an authority's, and what it signed is refused; give the certificate of the authority that signed the server's",
			absolute(path), i+1, c.Subject.CommonName))
	}
	return warnings
}

// LoadPoolCertificate reads the certificate of an authorised pool. The file
// must hold that one certificate: of a chain it would be unclear which of them
// is meant, and to authorise an issuer would let in all that it signs.
func LoadPoolCertificate(path string) (*x509.Certificate, error) {
	certs, err := readCertificates("pool certificate", path)
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("pool certificate file at %s contains %d certificates; give only the first, that of the pool itself",
			absolute(path), len(certs))
	}
	return certs[0], nil
}

// readCertificates reads the certificates of a PEM file, at least one.
func readCertificates(what, path string) ([]*x509.Certificate, error) {
	content, err := readFile(what, path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	sawKey := false
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			sawKey = sawKey || strings.HasSuffix(block.Type, "PRIVATE KEY")
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s %s: certificate %d is damaged: %w", what, absolute(path), len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case sawKey:
		return nil, fmt.Errorf("%s %s contains a private key and no certificate; are the two files swapped?", what, absolute(path))
	default:
		return nil, fmt.Errorf("%s %s contains no certificate; it must be PEM, with a line BEGIN CERTIFICATE", what, absolute(path))
	}
}

// readKey reads the private key of a PEM file.
func readKey(path string) (crypto.Signer, error) {
	const what = "private key"
	content, err := readFile(what, path)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	sawCertificate := false
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, fmt.Errorf("%s %s is encrypted with a passphrase, which a daemon cannot type; store it without one (openssl pkey -in %s -out FILE) and restrict who may read the file",
				what, absolute(path), filepath.Base(path))
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			key, err := parseKey(block)
			if err != nil {
				return nil, fmt.Errorf("%s %s cannot be used: %w; it must be PKCS#8, PKCS#1 or SEC1", what, absolute(path), err)
			}
			return key, nil
		}
		sawCertificate = sawCertificate || block.Type == "CERTIFICATE"
	}
	if sawCertificate {
		return nil, fmt.Errorf("%s %s contains a certificate and no key; are the two files swapped?", what, absolute(path))
	}
	return nil, fmt.Errorf("%s %s contains no key; it must be PEM, with a line BEGIN PRIVATE KEY", what, absolute(path))
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("unknown kind %q", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// largestFile bounds certificate and key files in octets.
const largestFile = 8 << 20

func readFile(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(what, path, err)
	}
	defer f.Close()
	var content bytes.Buffer
	n, err := content.ReadFrom(io.LimitReader(f, largestFile))
	if err != nil {
		return nil, unreadable(what, path, err)
	}
	if n == largestFile {
		return nil, fmt.Errorf("%s %s is larger than %d octets; is it the right file?", what, absolute(path), largestFile)
	}
	return content.Bytes(), nil
}

// unreadable says why a file cannot be read, and what to do about it.
func unreadable(what, path string, err error) error {
	remedy := "name the right file"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		remedy = "correct the path, or put the file there"
	case errors.Is(err, fs.ErrPermission):
		remedy = "let the user that this runs as read the file and enter every directory above it"
	}
	return fmt.Errorf("%s %s cannot be read: %w; %s", what, absolute(path), cause(err), remedy)
}

// cause leaves out the path, which the message already has in full.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// isSelfSigned reports whether a certificate is signed by its own key.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// namesOf lists the first names of a certificate, quoted, since anybody may
// have written them.
func namesOf(c *x509.Certificate) string {
	const most = 4
	var names []string
	for _, name := range c.DNSNames {
		names = append(names, fmt.Sprintf("%.64q", name))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0:
		return "no name at all"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + " and others"
	default:
		return strings.Join(names, ", ")
	}
}

// sanOf is the subject alternative name for a host, as OpenSSL spells it.
func sanOf(host string) string {
	if net.ParseIP(host) != nil {
		return "IP:" + host
	}
	return "DNS:" + host
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
