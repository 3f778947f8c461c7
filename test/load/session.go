package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"

	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// session is what one key exchange gave: keys, and cookies that were not used
// yet. A cookie is used once.
type session struct {
	c2s, s2c *aead.Key
	cookies  cookie.Jar
	length   int // of a cookie
	lost     int // cookies that went with lost packets
}

func newSession(a aead.Algorithm, c2s, s2c []byte, cookies [][]byte) (*session, error) {
	var s session
	var err error
	if s.c2s, err = aead.NewKey(a, c2s); err != nil {
		return nil, err
	}
	if s.s2c, err = aead.NewKey(a, s2c); err != nil {
		return nil, err
	}
	for _, c := range cookies {
		s.cookies.Put(c)
		s.length = len(c)
	}
	return &s, nil
}

// exchangeKeys makes n sessions.
func exchangeKeys(n int, server netip.AddrPort, name, authority string) (all []*session, err error) {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: holds no certificate", authority)
	}
	request := ke.ClientRequest{
		Host: name, Addrs: []netip.AddrPort{server}, Roots: roots,
		Algorithms: []aead.Algorithm{aead.AESSIVCMAC256}, // which all servers have
	}
	for len(all) < n {
		r, err := new(ke.Client).Exchange(context.Background(), request)
		if err != nil {
			return nil, err
		}
		s, err := newSession(r.Algorithm, r.C2S, r.S2C, r.Cookies)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
