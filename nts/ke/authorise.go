package ke

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
)

// Authoriser knows the pools that a server serves: by a token that they send,
// or by the certificate that they present. It does not change, and a nil
// *Authoriser knows nobody.
type Authoriser struct {
	tokens [][sha256.Size]byte
	leaves [][sha256.Size]byte
}

// NewAuthoriser makes an Authoriser. A leaf authorises exactly that
// certificate: neither its names nor its issuer or validity are looked at.
// Empty tokens are left out, since they would let everybody in.
func NewAuthoriser(tokens []string, leaves []*x509.Certificate) *Authoriser {
	a := new(Authoriser)
	for _, t := range tokens {
		if t != "" {
			a.tokens = append(a.tokens, sha256.Sum256([]byte(t)))
		}
	}
	for _, c := range leaves {
		a.leaves = append(a.leaves, sha256.Sum256(c.Raw))
	}
	return a
}

// AuthoriserOf makes an Authoriser of SHA-256 digests of tokens and of
// certificates, as Digests gives them: it need not know the tokens.
func AuthoriserOf(tokens, leaves [][sha256.Size]byte) *Authoriser {
	return &Authoriser{tokens: tokens, leaves: leaves}
}

// Digests are those by which the pools are known.
func (a *Authoriser) Digests() (tokens, leaves [][sha256.Size]byte) {
	if a == nil {
		return nil, nil
	}
	return a.tokens, a.leaves
}

// WantsCertificates reports whether clients should be asked for a certificate.
func (a *Authoriser) WantsCertificates() bool { return a != nil && len(a.leaves) > 0 }

// Token reports whether the token is one of the known ones. How long it takes
// tells nothing about how much of a token is right: digests are compared, all
// of them, in constant time.
func (a *Authoriser) Token(token []byte) bool {
	if a == nil || len(token) == 0 {
		return false
	}
	return among(a.tokens, sha256.Sum256(token))
}

// Leaf reports whether the certificate is one of the known ones; nil is not.
func (a *Authoriser) Leaf(cert *x509.Certificate) bool {
	if a == nil || cert == nil {
		return false
	}
	return among(a.leaves, sha256.Sum256(cert.Raw))
}

func among(known [][sha256.Size]byte, digest [sha256.Size]byte) bool {
	found := 0
	for i := range known {
		found |= subtle.ConstantTimeCompare(known[i][:], digest[:])
	}
	return found == 1
}
