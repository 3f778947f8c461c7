package ke

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// An algorithm is taken if it was offered, and only then, though the client
// knows it.
func TestOnlyOfferedAlgorithmsAreTaken(t *testing.T) {
	all := []aead.Algorithm{aead.AESSIVCMAC256, aead.AESSIVCMAC512}
	for mask := 1; mask < 1<<len(all); mask++ {
		var offered []aead.Algorithm
		for i, a := range all {
			if mask>>i&1 == 1 {
				offered = append(offered, a)
			}
		}
		for _, a := range all {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(fmt.Sprintf("8001 0002 0000 8004 0002 %04x", uint16(a)) + oneCookie + eom)
				f.start(t)
				got, err := f.exchange(t, func(r *ClientRequest) { r.Algorithms = offered })
				if taken := err == nil && got.Algorithm == a; taken != slices.Contains(offered, a) {
					t.Errorf("offered %v, answered %v: %v, %v", offered, a, got.Algorithm, err)
				}
				if err != nil && (got.C2S != nil || got.S2C != nil) {
					t.Error("there are keys all the same")
				}
			})
		}
	}
}

// An answer that goes on for ever ends when it is too long, not when the time is
// up, and no more than that is read.
func TestEndlessAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		written := make(chan int, 1)
		f.talk = func(c *tls.Conn) {
			record, n := fromHex("40ff 0100"+strings.Repeat("00", 256)), 0
			for n < 4<<20 {
				m, err := c.Write(record)
				n += m
				if err != nil {
					break
				}
			}
			written <- n
		}
		f.start(t)
		begin := time.Now()
		_, err := f.exchange(t)
		wantClass(t, err, ClassProtocol)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if n := <-written; n > 1<<20 {
			t.Errorf("%d octets were taken", n)
		}
	})
}

// A server that did not agree on the application protocol is not even asked:
// what listens there speaks something else.
func TestNothingIsAskedWithoutTheProtocol(t *testing.T) {
	for _, protocols := range [][]string{nil, {nts.ALPN}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t).answering(answered + eom)
			f.tls.NextProtos = protocols
			f.start(t)
			got, err := f.exchange(t)
			synctest.Wait()
			if agreed := protocols != nil; agreed != (err == nil) || agreed != (len(got.Cookies) > 0) || agreed != (len(f.received()) > 0) {
				t.Errorf("protocols %v: %d octets of a request, %d cookies, %v", protocols, len(f.received()), len(got.Cookies), err)
			}
		})
	}
}
