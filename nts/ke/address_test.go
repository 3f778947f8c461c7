package ke

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnAddressThatAcceptsAndSaysNothing leaves time for the others: a listener
// whose process hangs, or a middlebox that answers for a host that is gone.
func TestAnAddressThatAcceptsAndSaysNothing(t *testing.T) {
	for name, ends := range map[string]bool{"hangs": false, "hangs up": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(answered + eom)
				f.start(t)
				const mute = "192.0.2.7:4460"
				l, err := f.net.Listen(mute)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						if ends {
							c.Close()
						}
					}
				}()
				began := time.Now()
				got, err := f.exchange(t, func(r *ClientRequest) {
					r.Host = "ke.example.net"
					r.Addrs = []netip.AddrPort{netip.MustParseAddrPort(mute), netip.MustParseAddrPort(serverAddr)}
				})
				if err != nil || got.Remote.String() != serverAddr {
					t.Fatalf("%+v, %v", got, err)
				}
				if took := time.Since(began); took > 2500*time.Millisecond {
					t.Errorf("took %v of 5 s", took)
				}
			})
		})
	}
}

// TestNoOtherAddressAfterAWrongCertificate: the server spoke, and what it said
// is what the operator is told.
func TestNoOtherAddressAfterAWrongCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.start(t)
		_, err := f.exchange(t, func(r *ClientRequest) {
			r.Host = "another.example.net"
			r.Addrs = []netip.AddrPort{netip.MustParseAddrPort(serverAddr), netip.MustParseAddrPort("192.0.2.8:4460")}
		})
		wantClass(t, err, ClassCertificateName)
	})
}
