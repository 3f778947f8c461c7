package ke

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// elsewhere is a listener whose clients come from other places than they do.
type elsewhere struct {
	net.Listener
	from <-chan *net.TCPAddr // of the next that is accepted
}

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return moved{c, <-l.from}, nil
}

type moved struct {
	net.Conn
	from net.Addr
}

func (c moved) RemoteAddr() net.Addr { return c.from }

// A crowd of one network delays another by one more turn at most.
// Without turns the processor serves it first.
func TestACrowdDelaysNobodyElse(t *testing.T) {
	const crowd, cost = 20, 20 * time.Millisecond
	for _, tt := range []struct {
		handshakes  int
		least, most time.Duration
	}{{1, cost, 3 * cost}, {1000, crowd * cost, (crowd + 1) * cost}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Handshakes = tt.handshakes
			leaf, processor := w.ca.Leaf([]string{"192.0.2.1"}), make(chan bool, 1)
			config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				processor <- true
				time.Sleep(cost)
				<-processor
				return &leaf.TLS, nil
			}}
			w.config.TLS = func() *tls.Config { return config }
			from := make(chan *net.TCPAddr, 1)
			l, err := w.net.Listen(serverAddr)
			if err != nil {
				t.Fatal(err)
			}
			w.config.Listener = elsewhere{l, from}
			served := make(chan error, 1)
			go func() { served <- NewServer(w.config).Serve(t.Context()) }()
			come := func(a string) chan time.Duration {
				from <- &net.TCPAddr{IP: net.ParseIP(a), Port: 1}
				took := make(chan time.Duration, 1)
				began := time.Now()
				conn, err := w.net.Dial(t.Context(), "tcp", serverAddr)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if err := shake(conn, w.ca); err != nil {
						t.Error(err)
					}
					took <- time.Since(began)
				}()
				synctest.Wait()
				return took
			}
			for range crowd {
				come("203.0.113.7")
			}
			if took := <-come("192.0.2.77"); took < tt.least || took > tt.most {
				t.Errorf("with %d handshakes at once the other was served after %v", tt.handshakes, took)
			}
			time.Sleep(crowd * cost)
			l.Close()
			<-served
		})
	}
}
