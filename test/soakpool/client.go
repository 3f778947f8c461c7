package main

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

var offered = []aead.Algorithm{aead.AESSIVCMAC256}

// key is the first part of a client's key in one direction: enough to know it
// by.
type key [16]byte

// client is what one client knows.
type client struct {
	from string // whose cookies it got, or empty
}

type tally struct{ exchanges, served, failed, strange int }

func (t tally) String() string {
	return fmt.Sprintf("%d exchanges, %d served, %d failed, %d strange", t.exchanges, t.served, t.failed, t.strange)
}

func (s *soak) tally() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// client asks the pool again and again.
func (s *soak) client() {
	for {
		select {
		case <-s.end:
			return
		default:
		}
		err := s.exchange()
		s.mu.Lock()
		s.counts.exchanges++
		switch {
		case err == nil:
			s.counts.served++
		case errors.Is(err, errRefused):
			s.counts.failed++
		default:
			s.counts.strange++
			s.oddest = err.Error()
		}
		s.mu.Unlock()
		time.Sleep(time.Duration(10+rand.IntN(90)) * time.Millisecond)
	}
}

// errRefused is the answer that a pool gives whose source failed.
var errRefused = errors.New("the pool answered with Error 2")

// exchange makes one exchange, and remembers its keys however it comes out.
func (s *soak) exchange() error {
	raw, err := net.DialTimeout("tcp4", s.addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1", NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13})
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	c2s, s2c, err := nts.ExportKeys(state.ExportKeyingMaterial, nts.NTPv4, offered[0], offered[0].KeyLen())
	if err != nil {
		return err
	}
	me := new(client)
	s.mu.Lock()
	s.known[key(c2s[:16])], s.known[key(s2c[:16])] = me, me
	s.mu.Unlock()
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	resp, err := nts.DecodeResponse(answer)
	if err != nil {
		return err
	}
	switch a := resp.(type) {
	case nts.Failure:
		if a.Code == nts.InternalServerError {
			return errRefused
		}
		return fmt.Errorf("the pool answered with %v", a.Code)
	case nts.Established:
		if a.KeepAlive != nts.NoDialect || a.Algorithm != offered[0] {
			return fmt.Errorf("the pool answered with %+v", a)
		}
		for _, cookie := range a.Cookies {
			name, digest, _ := strings.Cut(string(cookie), " ")
			if want := sha256.Sum256(append(c2s[:len(c2s):len(c2s)], s2c...)); digest != string(want[:]) || a.Server != name {
				return fmt.Errorf("%s gave a cookie of %s with the keys of another client", a.Server, name)
			}
		}
		s.mu.Lock()
		me.from = a.Server
		s.mu.Unlock()
		return nil
	default:
		return fmt.Errorf("the pool answered with %T", a)
	}
}
