package ke

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// RFC 8915 section 4.1.3: "upon the expiration of an implementation-defined
// timeout, it has not yet received such a request": Error 1.
func TestRFC8915Section4_1_3TimeoutIsABadRequest(t *testing.T) {
	for name, talk := range map[string]func(*testing.T, *tls.Conn){
		"silence":       func(*testing.T, *tls.Conn) {},
		"half a header": func(t *testing.T, c *tls.Conn) { say(t, c, "8001") },
		"half a body":   func(t *testing.T, c *tls.Conn) { say(t, c, "8001 0002 00") },
		"no end":        func(t *testing.T, c *tls.Conn) { say(t, c, ordinary) },
		"an octet now and then": func(t *testing.T, c *tls.Conn) {
			go func() {
				for _, b := range fromHex("4032 0100" + strings.Repeat("55", 12)) {
					c.Write([]byte{b})
					time.Sleep(90 * time.Millisecond)
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Timeout = 1500 * time.Millisecond
				w.start()
				began := time.Now()
				c := w.mustRaw()
				talk(t, c)
				wantEqual(t, hear(t, c), errorOne)
				if took := time.Since(began); took != w.config.Timeout {
					t.Errorf("answered after %v, want %v", took, w.config.Timeout)
				}
				c.Close()
				synctest.Wait()
				if w.kinds() != "request-timeout" {
					t.Errorf("outcomes %q", w.kinds())
				}
			})
		})
	}
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		began := time.Now()
		conn, err := w.net.Dial(t.Context(), "tcp", serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(conn)
		if took := time.Since(began); took != DefaultTimeout {
			t.Errorf("closed after %v, want %v", took, DefaultTimeout)
		}
		synctest.Wait()
		if w.kinds() != "handshake-failed" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// A client that takes its answer and stays does not keep its place for long.
func TestClientThatDoesNotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.ConcurrentConnections = 1
		w.start()
		c := w.mustRaw()
		say(t, c, ordinary+eom)
		hearMessage(t, c)
		began := time.Now()
		if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != lingerTime {
			t.Errorf("the place was free after %v, want %v", took, lingerTime)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.ConcurrentConnections = 3
		w.start()
		for range 3 {
			if _, err := w.net.Dial(t.Context(), "tcp", serverAddr); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != DefaultTimeout {
			t.Errorf("served after %v; the three before it last %v", took, DefaultTimeout)
		}
	})
}

// A shortage of file descriptors passes, and must not end the server.
func TestAcceptErrorsDoNotStopTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, _ := w.net.Listen("192.0.2.9:1")
		l.Close()
		listener := w.start()
		listener.FailNext(syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM,
			errors.New("something new"), syscall.EMFILE, syscall.EMFILE, syscall.EMFILE, syscall.EMFILE)
		// The server waits in Accept already; one connection makes it come back.
		for range 2 {
			if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := strings.Count(w.kinds(), "accept-failed"); got != 10 {
			t.Errorf("%d failures reported: %s", got, w.kinds())
		}
	})
}

// A client that leaves before its answer is counted as such.
func TestClientThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Seal = func() nts.Sealer {
			seal := w.sealer()
			return func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
				time.Sleep(10 * time.Millisecond)
				return seal(a, c2s, s2c)
			}
		}
		w.start()
		c := w.mustRaw()
		say(t, c, ordinary+eom)
		time.Sleep(5 * time.Millisecond) // the server is at its cookies
		c.NetConn().(*memnet.Conn).Reset()
		time.Sleep(time.Second)
		if w.kinds() != "write-failed" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

func TestServeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		w.stop()
		synctest.Wait()
		if _, err := w.net.Dial(t.Context(), "tcp", serverAddr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("still listening: %v", err)
		}
		select {
		case err := <-w.served:
			t.Fatalf("ended before its last client: %v", err)
		default:
		}
		say(t, c, ordinary+eom)
		if resp, err := nts.DecodeResponse(hear(t, c)); err != nil {
			t.Errorf("the last client: %v, %v", resp, err)
		}
		c.NetConn().Close()
		if err := <-w.served; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestServeReportsAListenerThatSomebodyClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start().Close()
		if err := <-w.served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}
