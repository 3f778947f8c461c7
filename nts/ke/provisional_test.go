package ke

import (
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
)

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }

// The clock of a bubble stands in 2000. A machine that does not know the time
// takes a certificate of another time, from its bound on, and says so; all
// else about it must be right.
func TestProvisionalCertificates(t *testing.T) {
	names := []string{"192.0.2.1"}
	for name, tt := range map[string]struct {
		leaf        func(*testing.T, *testcert.CA) *testcert.Leaf
		earliest    time.Time
		want        Class // of the failure
		fails       bool
		provisional bool
	}{
		"valid now": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf { return ca.Leaf(names) }, earliest: year(1990)},
		"not valid yet": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf(names, testcert.Valid(year(2005), year(2009)))
			},
			earliest: year(2001), provisional: true},
		"no bound is given": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf(names, testcert.Valid(year(2005), year(2009)))
			},
			want: ClassCertificateExpired, fails: true},
		"expired by a clock that is ahead": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf(names, testcert.Valid(year(1995), year(1999)))
			},
			earliest: year(1998), provisional: true},
		"expired before the bound": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf(names, testcert.Valid(year(1995), year(1999)))
			},
			earliest: year(1999).Add(time.Second), want: ClassCertificateExpired, fails: true},
		"another name": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf([]string{"192.0.2.9"}, testcert.Valid(year(2005), year(2009)))
			},
			earliest: year(2001), want: ClassCertificateExpired, fails: true},
		"another name, valid now": {
			leaf:     func(_ *testing.T, ca *testcert.CA) *testcert.Leaf { return ca.Leaf([]string{"192.0.2.9"}) },
			earliest: year(1990), want: ClassCertificateName, fails: true},
		"another authority": {
			leaf: func(t *testing.T, _ *testcert.CA) *testcert.Leaf {
				return testcert.NewCA(t).Leaf(names, testcert.Valid(year(2005), year(2009)))
			},
			earliest: year(2001), want: ClassCertificateExpired, fails: true},
		"for clients only": {
			leaf: func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
				return ca.Leaf(names, testcert.Valid(year(2005), year(2009)), func(c *x509.Certificate) {
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
				})
			},
			earliest: year(2001), want: ClassCertificateExpired, fails: true},
		"self-signed": {
			leaf: func(t *testing.T, _ *testcert.CA) *testcert.Leaf {
				return testcert.SelfSigned(t, names)
			},
			earliest: year(2001), want: ClassCertificateSelf, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(answered + eom)
				f.leaf = tt.leaf(t, f.ca)
				f.start(t)
				got, err := f.exchange(t, func(r *ClientRequest) { r.Earliest = tt.earliest })
				if tt.fails {
					wantClass(t, err, tt.want)
					if f.received() != nil {
						t.Error("a request was sent")
					}
					return
				}
				leaf := f.leaf.Certificate
				if err != nil || got.Provisional != tt.provisional ||
					got.Validity.NotBefore.Before(leaf.NotBefore) || got.Validity.NotAfter.After(leaf.NotAfter) || got.Validity.NotAfter.IsZero() {
					t.Errorf("%+v, %v", got, err)
				}
			})
		})
	}
}

// A chain is valid while all of it is.
func TestValidityIsThatOfTheWholeChain(t *testing.T) {
	v := validity([]*x509.Certificate{
		{NotBefore: year(2005), NotAfter: year(2009)}, {NotBefore: year(2001), NotAfter: year(2008)}, {NotBefore: year(2006), NotAfter: year(2030)},
	})
	if v != (Validity{year(2006), year(2008)}) {
		t.Errorf("%v", v)
	}
	for at, want := range map[time.Time]bool{
		year(2006): true, year(2008): true, year(2007): true, year(2006).Add(-1): false, year(2008).Add(1): false,
	} {
		if v.Contains(at) != want {
			t.Errorf("%v: %v", at, !want)
		}
	}
}
