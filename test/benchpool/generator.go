package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// clients are those of the generator process.
type clients struct {
	roots   *x509.CertPool
	request []byte
	open    []*tls.Conn
}

// generator is a process that plays clients, as lines on its standard input
// say.
func generator(args []string) error {
	pem, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	c := &clients{roots: x509.NewCertPool()}
	if !c.roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", args[0])
	}
	c.request, err = nts.AppendRequest(nil, nts.KeyExchange{
		Protocols: []nts.Protocol{nts.NTPv4}, Algorithms: []aead.Algorithm{aead.AESSIVCMAC256},
	})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := c.obey(lines.Text())
		if err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println(answer...)
	}
	return lines.Err()
}

// obey gives the numbers to answer a line with.
func (c *clients) obey(line string) ([]any, error) {
	var addr, agreement string
	var d time.Duration
	var number int
	verb, rest, _ := strings.Cut(line, " ")
	if verb != "ask" {
		var duration string
		if _, err := fmt.Sscan(rest, &addr, &agreement, &duration, &number); err != nil {
			return nil, err
		}
		var err error
		if d, err = time.ParseDuration(duration); err != nil {
			return nil, err
		}
	}
	counts := func(n, failed int, err error) ([]any, error) { return []any{n, failed}, err }
	switch verb {
	case "exchange":
		return counts(c.exchange(addr, agreement, d, number))
	case "connect":
		return counts(c.connect(addr, agreement, number))
	case "ask":
		return counts(c.askAll())
	case "storm", "flood":
		t, err := c.storm(addr, agreement, d, number, verb == "flood")
		if err != nil {
			return nil, err
		}
		return t.numbers(), nil
	case "honest":
		return c.honest(addr, agreement, d).numbers(), nil
	default:
		return nil, fmt.Errorf("unknown verb %q", verb)
	}
}

func (c *clients) config(agreement string) *tls.Config {
	config := &tls.Config{
		RootCAs: c.roots, ServerName: "127.0.0.1", NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if agreement == "x25519mlkem768" {
		config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	}
	return config
}

func dial(addr string, config *tls.Config) (*tls.Conn, error) {
	raw, err := net.DialTimeout("tcp4", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// finish asks over a connection that was made before.
func (c *clients) finish(conn *tls.Conn) error {
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return c.ask(conn)
}

// ask asks over a connection, and wants cookies.
func (c *clients) ask(conn *tls.Conn) error {
	defer conn.Close()
	if _, err := conn.Write(c.request); err != nil {
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
	if est, ok := resp.(nts.Established); !ok || len(est.Cookies) == 0 {
		return errors.New("no cookies")
	}
	return nil
}

// exchange makes whole key exchanges for a while.
func (c *clients) exchange(addr, agreement string, d time.Duration, workers int) (n, failed int, err error) {
	var good, bad atomic.Int64
	var first atomic.Pointer[error]
	until := time.Now().Add(d)
	config := c.config(agreement)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for time.Now().Before(until) {
				conn, err := dial(addr, config)
				if err == nil {
					err = c.finish(conn)
				}
				if err != nil {
					bad.Add(1)
					first.CompareAndSwap(nil, &err)
					continue
				}
				good.Add(1)
			}
		})
	}
	group.Wait()
	if e := first.Load(); e != nil {
		fmt.Fprintln(os.Stderr, "bench-pool: a client failed:", *e)
	}
	return int(good.Load()), int(bad.Load()), nil
}

// connect opens connections, as fast as the handshakes go, and keeps them.
func (c *clients) connect(addr, agreement string, number int) (n, failed int, err error) {
	config := c.config(agreement)
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(number))
	var group sync.WaitGroup
	for range 2 * workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				conn, e := dial(addr, config)
				mu.Lock()
				if e == nil {
					c.open = append(c.open, conn)
				} else {
					failed++
					err = e
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return len(c.open), failed, err
}

// askAll lets each of the connected clients ask.
func (c *clients) askAll() (n, failed int, err error) {
	var good, bad atomic.Int64
	queue := make(chan *tls.Conn)
	var group sync.WaitGroup
	for range 2 * workers {
		group.Go(func() {
			for conn := range queue {
				if err := c.finish(conn); err != nil {
					bad.Add(1)
					continue
				}
				good.Add(1)
			}
		})
	}
	for _, conn := range c.open {
		queue <- conn
	}
	close(queue)
	group.Wait()
	c.open = nil
	return int(good.Load()), int(bad.Load()), nil
}
