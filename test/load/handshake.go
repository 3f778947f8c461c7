package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// handshakes is a load of key exchanges: so many connections at a time, each of
// which makes one exchange after the other, with a connection of its own.
type handshakes struct {
	server      netip.AddrPort
	name        string
	group       tls.CurveID
	connections int
	warm        time.Duration
	duration    time.Duration
}

// groups are the key agreements that can be asked for.
var groups = map[string]tls.CurveID{"x25519": tls.X25519, "mlkem": tls.X25519MLKEM768, "p256": tls.CurveP256}

// run makes exchanges and checks every answer. measured is called when the
// warm-up is over, and when it ends.
func (h *handshakes) run(measured func()) (*tally, error) {
	request, err := nts.AppendRequest(nil, nts.KeyExchange{
		Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: []aead.Algorithm{aead.AESSIVCMAC256},
	})
	if err != nil {
		return nil, err
	}
	// What is measured is the server. That it is the right one is seen by its
	// answers, and a client that verifies would only be slower.
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{nts.ALPN}, ServerName: h.name,
		CurvePreferences: []tls.CurveID{h.group}, InsecureSkipVerify: true,
	}
	var measuring atomic.Bool
	var mu sync.Mutex
	var sum tally
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range h.connections {
		all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := h.exchange(config, request)
				took := time.Since(began)
				if !measuring.Load() {
					continue
				}
				mu.Lock()
				sum.Sent++
				if err != nil {
					sum.wrong(err)
				} else {
					sum.Answered++
					sum.latencies.add(took)
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(h.warm)
	measured()
	measuring.Store(true)
	began := time.Now()
	time.Sleep(h.duration)
	measuring.Store(false)
	measured()
	sum.Elapsed = time.Since(began)
	cancel()
	all.Wait()
	return &sum, nil
}

// exchange makes one key exchange.
func (h *handshakes) exchange(config *tls.Config, request []byte) error {
	tcp, err := net.DialTimeout("tcp", h.server.String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer tcp.Close()
	if err := tcp.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	conn := tls.Client(tcp, config)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer, err := wholeMessage(conn)
	if err != nil {
		return err
	}
	response, err := nts.DecodeResponse(answer)
	if err != nil {
		return err
	}
	established, ok := response.(nts.Established)
	switch {
	case !ok:
		return fmt.Errorf("answer is %T", response)
	case len(established.Cookies) != nts.MaxCookies:
		return fmt.Errorf("%d cookies", len(established.Cookies))
	case established.Algorithm != aead.AESSIVCMAC256:
		return fmt.Errorf("algorithm %v", established.Algorithm)
	}
	return nil
}

// endOfMessage is the record that ends a message.
var endOfMessage = []byte{0x80, 0, 0, 0}

// wholeMessage reads until a message is complete; servers differ in whether they
// close the connection first.
func wholeMessage(r io.Reader) ([]byte, error) {
	var all []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(all, endOfMessage) {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if errors.Is(err, io.EOF) && n > 0 {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
