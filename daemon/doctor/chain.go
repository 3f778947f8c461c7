package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// chain looks whether each certificate is signed by the one behind it: "each
// following certificate SHOULD directly certify the one immediately preceding
// it" (RFC 8446 section 4.4.2), and clients need what is between theirs and
// the server's.
func (e *exam) chain(path string, pair *tls.Certificate) {
	var certs []*x509.Certificate
	for _, raw := range pair.Certificate {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return // LoadKeyPair has parsed them all
		}
		certs = append(certs, c)
	}
	for i, c := range certs[:len(certs)-1] {
		if err := c.CheckSignatureFrom(certs[i+1]); err != nil {
			e.warn("certificate", path, fmt.Sprintf("certificate %d in it does not sign certificate %d", i+2, i+1),
				"each signed by the next", "put the certificates in order, the server's own first, and leave out what does not belong")
			return
		}
	}
}
