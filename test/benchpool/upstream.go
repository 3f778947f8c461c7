package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/pool"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// upstreamShare is a process with a pool whose clients exist in it only: what
// it spends is what a pool spends on its sources.
func upstreamShare(args []string) error {
	debug.SetGCPercent(200) // as nts-pool-ke does
	pem, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	host, service, err := net.SplitHostPort(args[1])
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p, err := pool.New(pool.Config{
		Listener: l, TLS: func() *tls.Config { return new(tls.Config) }, Roots: func() *x509.CertPool { return roots },
		Sources: []pool.Source{{Domain: host, Port: uint16(port), Token: nts.Secret(token), Weight: 1}},
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		if err := p.Serve(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "bench-pool:", err)
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		d, err := time.ParseDuration(strings.TrimPrefix(lines.Text(), "rehearse "))
		if err != nil {
			return err
		}
		n, err := rehearse(ctx, p, d)
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println(n)
	}
	return lines.Err()
}

func rehearse(ctx context.Context, p *pool.Pool, d time.Duration) (int, error) {
	q := nts.KeyExchange{Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: []aead.Algorithm{aead.AESSIVCMAC256}}
	export := func(_ string, _ []byte, length int) ([]byte, error) {
		key := make([]byte, length)
		for i := range key {
			key[i] = byte(rand.Uint32())
		}
		return key, nil
	}
	var done atomic.Int64
	var first atomic.Pointer[error]
	var group sync.WaitGroup
	until := time.Now().Add(d)
	for range workers { // as many at once as clients come to the pool
		group.Go(func() {
			for time.Now().Before(until) && first.Load() == nil {
				attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
				err := p.Rehearse(attempt, q, export)
				cancel()
				if err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if e := first.Load(); e != nil {
		return 0, *e
	}
	return int(done.Load()), nil
}
