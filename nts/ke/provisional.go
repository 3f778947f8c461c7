package ke

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// A Validity is when all certificates of a chain are valid.
type Validity struct{ NotBefore, NotAfter time.Time }

// Contains reports whether a time is within the validity.
func (v Validity) Contains(t time.Time) bool {
	return !t.Before(v.NotBefore) && !t.After(v.NotAfter)
}

// verify checks a server's chain as crypto/tls does: authorities, names, uses,
// and that it is valid now. Where only the time is wrong and earliest is not
// zero, a chain will do that is valid at some moment from earliest on; it is
// provisional then: whether it is valid at the true time can only be told by
// whoever learns that.
func verify(chain []*x509.Certificate, name string, roots *x509.CertPool, now, earliest time.Time) (provisional bool, v Validity, err error) {
	opts := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	leaf := chain[0]
	chains, err := leaf.Verify(opts)
	if err == nil {
		return false, validity(chains[0]), nil
	}
	var invalid x509.CertificateInvalidError
	if earliest.IsZero() || !errors.As(err, &invalid) || invalid.Reason != x509.Expired || leaf.NotAfter.Before(earliest) {
		return false, v, unverified(chain, err)
	}
	from := leaf.NotBefore
	if from.Before(earliest) {
		from = earliest
	}
	// The certificates above may begin later or end earlier than the leaf.
	for _, at := range []time.Time{from, from.Add(leaf.NotAfter.Sub(from) / 2), leaf.NotAfter} {
		opts.CurrentTime = at
		chains, then := leaf.Verify(opts)
		if then != nil {
			continue
		}
		if v = validity(chains[0]); !v.NotAfter.Before(earliest) {
			return true, v, nil
		}
	}
	return false, Validity{}, unverified(chain, err)
}

func unverified(chain []*x509.Certificate, err error) error {
	return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
}

func validity(chain []*x509.Certificate) Validity {
	v := Validity{chain[0].NotBefore, chain[0].NotAfter}
	for _, c := range chain[1:] {
		if c.NotBefore.After(v.NotBefore) {
			v.NotBefore = c.NotBefore
		}
		if c.NotAfter.Before(v.NotAfter) {
			v.NotAfter = c.NotAfter
		}
	}
	return v
}

// coldStart makes a configuration that takes certificates provisionally, and
// notes in the connection how far they are good.
func (c *Conn) coldStart(config *tls.Config, now func() time.Time) {
	if c.target.Earliest.IsZero() {
		return
	}
	if now == nil {
		now = time.Now
	}
	also := config.VerifyConnection
	config.InsecureSkipVerify = true // VerifyConnection does it
	config.VerifyConnection = func(s tls.ConnectionState) (err error) {
		c.provisional, c.validity, err = verify(s.PeerCertificates, config.ServerName, config.RootCAs, now(), c.target.Earliest)
		if err != nil {
			return err
		}
		return also(s)
	}
}
