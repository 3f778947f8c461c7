package ke

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
)

func network(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 0}), 24)
}

// The turn goes round the networks that wait, in each by who came first.
func TestTurnsGoRoundNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1, time.Hour)
		if err := turns.Take(t.Context(), network(0), turns.patience); err != nil {
			t.Fatal(err)
		}
		var got []string
		wait := func(net, n int) {
			go func() {
				if err := turns.Take(t.Context(), network(net), turns.patience); err != nil {
					t.Error(err)
				}
				got = append(got, fmt.Sprint(net, ".", n))
				turns.Pass()
			}()
			synctest.Wait()
		}
		for i := range 4 {
			wait(1, i)
		}
		wait(2, 0)
		wait(3, 0)
		wait(3, 1)
		turns.Pass()
		synctest.Wait()
		if want := "[1.0 2.0 3.0 1.1 3.1 1.2 1.3]"; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		if turns.free != 1 || len(turns.lines) != 0 || turns.round.Len() != 0 {
			t.Errorf("%d are free, %d lines, %d in the round", turns.free, len(turns.lines), turns.round.Len())
		}
	})
}

// Nobody waits longer than is allowed, and a network is late while the first in
// its line has waited for more than a while; others are not.
func TestTurnsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, time.Second)
		for range 2 {
			if err := turns.Take(t.Context(), network(1), turns.patience); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		refused := make(chan time.Duration)
		for range 3 {
			go func() {
				if err := turns.Take(t.Context(), network(1), turns.patience); !errors.Is(err, errCrowded) {
					t.Error(err)
				}
				refused <- time.Since(began)
			}()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(lateAfter - 30*time.Millisecond)
		if turns.Late(network(1)) {
			t.Error("late too early")
		}
		time.Sleep(time.Millisecond)
		if !turns.Late(network(1)) || turns.Late(network(2)) {
			t.Error("the wrong network is late")
		}
		for i := range 3 {
			if took, want := <-refused, time.Second+time.Duration(i)*10*time.Millisecond; took != want {
				t.Errorf("refused after %v, want %v", took, want)
			}
		}
		if turns.Late(network(1)) || len(turns.lines) != 0 || turns.round.Len() != 0 {
			t.Error("somebody is remembered who has gone")
		}
		turns.Pass()
		turns.Pass()
		if turns.free != 2 {
			t.Errorf("%d are free", turns.free)
		}
	})
}

// Who waits for long keeps others of the same network out at the door, and nobody
// else.
func TestLateNetworkIsKeptOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFair(nil, 1000, nil)
		f.Turns = NewTurns(1, time.Minute)
		if err := f.Turns.Take(t.Context(), network(1), f.Turns.patience); err != nil {
			t.Fatal(err)
		}
		go func() { _ = f.Turns.Take(t.Context(), network(1), f.Turns.patience) }()
		synctest.Wait()
		if !f.admit(network(1)) {
			t.Error("kept out at once")
		}
		time.Sleep(lateAfter + 1)
		if f.admit(network(1)) || !f.admit(network(2)) {
			t.Error("the wrong network is kept out")
		}
		f.Turns.Pass()
		synctest.Wait()
		if !f.admit(network(1)) {
			t.Error("kept out after its turn")
		}
	})
}

// What comes from a late network is closed, unread, at the listener, and counted.
func TestConnectionsOfALateNetworkAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l, err := n.Listen(serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var shed []netip.Prefix
		f := NewFair(l, 1000, func(from netip.AddrPort) { shed = append(shed, Network(from.Addr())) })
		f.Turns = NewTurns(1, time.Minute)
		accepted := make(chan net.Conn, 2)
		go func() {
			for {
				c, err := f.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		dial := func() net.Conn {
			c, err := n.Dial(t.Context(), "tcp", serverAddr)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return c
		}
		defer dial().Close()
		first := <-accepted
		defer first.Close()
		from := Network(AddrPort(first.RemoteAddr()).Addr())
		if err := f.Turns.Take(t.Context(), from, 0); err != nil {
			t.Fatal(err)
		}
		go func() { _ = f.Turns.Take(t.Context(), from, time.Minute) }()
		time.Sleep(lateAfter + 1)
		c := dial()
		if _, err := c.Read(make([]byte, 1)); err == nil || len(accepted) != 0 || !slices.Equal(shed, []netip.Prefix{from}) {
			t.Errorf("%v; %d let in, shed are %v", err, len(accepted), shed)
		}
		f.Turns.Pass()
		synctest.Wait()
		defer dial().Close()
		if len(accepted) != 1 || len(shed) != 1 {
			t.Errorf("after its turn %d were let in and %v shed", len(accepted), shed)
		} else {
			(<-accepted).Close()
		}
	})
}

// One client that waits because of a crowd of another network does not keep its
// own network out.
func TestOneAmongACrowdIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1, time.Minute)
		if err := turns.Take(t.Context(), network(1), 0); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			go func() { _ = turns.Take(t.Context(), network(1), time.Minute) }()
		}
		go func() { _ = turns.Take(t.Context(), network(2), time.Minute) }()
		time.Sleep(lateAfter + 1)
		if !turns.Late(network(1)) || turns.Late(network(2)) {
			t.Error("the wrong network is late")
		}
		for range 2 { // one of each has its turn
			turns.Pass()
			synctest.Wait()
		}
		if turns.queue != 2 || !turns.Late(network(1)) {
			t.Errorf("%d wait; late: %v", turns.queue, turns.Late(network(1)))
		}
		for range 3 {
			turns.Pass()
			synctest.Wait()
		}
		if turns.queue != 0 || turns.Taken() != 0 {
			t.Errorf("%d wait, %d have their turn", turns.queue, turns.Taken())
		}
	})
}

// Who goes away while waiting leaves no trace.
func TestTurnOfOneThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1, time.Minute)
		if err := turns.Take(t.Context(), network(1), 0); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		began := time.Now()
		if err := turns.Take(ctx, network(2), time.Minute); !errors.Is(err, errCrowded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if turns.queue != 0 || len(turns.lines) != 0 || turns.Taken() != 1 {
			t.Errorf("%d wait in %d lines, %d have their turn", turns.queue, len(turns.lines), turns.Taken())
		}
		turns.Pass()
		if turns.Taken() != 0 {
			t.Errorf("%d have their turn", turns.Taken())
		}
	})
}

// A handshake that fails before anything is written gives its turn back.
func TestFailedHandshakeGivesItsTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca, turns, outcomes := costly(t, 0, time.Second, func(c *tls.Config) {
			leaf := testcert.SelfSigned(t, []string{"192.0.2.1"}).TLS
			leaf.PrivateKey = broken{leaf.PrivateKey.(crypto.Signer)}
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &leaf, nil }
		})
		conn, err := n.Dial(t.Context(), "tcp", serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(conn, ca); err == nil {
			t.Error("a key that does not sign made a handshake")
		}
		if k := <-outcomes; k != HandshakeFailed {
			t.Errorf("the outcome is %v", k)
		}
		synctest.Wait()
		if turns.free != 1 {
			t.Errorf("%d turns are left", turns.free)
		}
	})
}

// broken is a key that does not sign.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the key is away")
}

// costly is a front whose handshakes cost a time of computation, of which it does
// one at once.
func costly(t *testing.T, cost, patience time.Duration, change ...func(*tls.Config)) (n *memnet.Network, ca *testcert.CA, turns *Turns, outcomes chan Kind) {
	ca = testcert.NewCA(t)
	leaf := ca.Leaf([]string{"192.0.2.1"})
	n, turns, outcomes = new(memnet.Network), NewTurns(1, patience), make(chan Kind, 100)
	l, err := n.Listen(serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		time.Sleep(cost)
		return &leaf.TLS, nil
	}}
	for _, c := range change {
		c(config)
	}
	f := Front{
		Listener: l, TLS: func() *tls.Config { return config }, Turns: turns,
		Timeout: 10 * time.Second, Connections: 1000,
		Outcome: func(o Outcome) { outcomes <- o.Kind },
		Handle:  func(_ context.Context, p *Peer) { _ = p.Answer(fromHex(errorOne)) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n, ca, turns, outcomes
}

// shake makes a handshake and a request over a connection and waits for the answer.
func shake(conn net.Conn, ca *testcert.CA) error {
	c := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{"ntske/1"}})
	_, err := c.Write(fromHex(ordinary + eom))
	if err == nil {
		_, err = io.ReadAll(c)
	}
	conn.Close()
	return err
}

// Handshakes are computed one after the other; one too many is told so by an
// alert, not left to wait.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost, patience = 100 * time.Millisecond, 450 * time.Millisecond
		n, ca, turns, _ := costly(t, cost, patience)
		began := time.Now()
		type end struct {
			took time.Duration
			err  error
		}
		ends := make(chan end)
		for range 8 {
			go func() {
				conn, err := n.Dial(t.Context(), "tcp", serverAddr)
				if err == nil {
					err = shake(conn, ca)
				}
				ends <- end{time.Since(began), err}
			}()
		}
		served := 0
		for range 8 {
			e := <-ends
			if e.err != nil && e.err.Error() != "remote error: tls: internal error" {
				t.Error(e.err)
			}
			if e.err == nil {
				served++
				if e.took != time.Duration(served)*cost {
					t.Errorf("number %d was served after %v", served, e.took)
				}
			} else if e.took != patience {
				t.Errorf("refused after %v", e.took)
			}
		}
		if served != 5 {
			t.Errorf("%d were served", served)
		}
		synctest.Wait()
		if turns.free != 1 {
			t.Errorf("%d turns are left", turns.free)
		}
	})
}

// Who is slow has no turn meanwhile, whether before the handshake or in it, and
// a handshake that fails gives its turn back.
func TestSlowClientsHoldNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca, turns, _ := costly(t, 0, time.Second)
		hello := func(c net.Conn) {
			conn := &stopper{Conn: c, after: 1}
			go tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{"ntske/1"}}).Handshake()
		}
		for _, act := range []func(net.Conn){
			func(net.Conn) {},                        // says nothing
			func(c net.Conn) { c.Write([]byte{22}) }, // begins to say something
			hello,                                    // says nothing to the answer
			func(c net.Conn) { // nothing in common
				go tls.Client(c, &tls.Config{ServerName: "192.0.2.1", NextProtos: []string{"h2"}}).Handshake()
			},
		} {
			conn, err := n.Dial(t.Context(), "tcp", serverAddr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			act(conn)
			synctest.Wait()
		}
		if turns.free != 1 {
			t.Errorf("%d turns are left", turns.free)
		}
		conn, err := n.Dial(t.Context(), "tcp", serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := shake(conn, ca); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// stopper swallows what is written after so many writes.
type stopper struct {
	net.Conn
	after int
}

func (s *stopper) Write(b []byte) (int, error) {
	if s.after--; s.after < 0 {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// A client that makes the server ask for another first message does not pass the
// others by.
func TestSecondHelloNeedsATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca, turns, outcomes := costly(t, 0, time.Second, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} })
		raw, err := n.Dial(t.Context(), "tcp", serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		writes := 0
		conn := &watcher{Conn: raw, before: func() {
			if writes++; writes == 2 {
				synctest.Wait()
				if err := turns.Take(t.Context(), network(1), turns.patience); err != nil { // as others do meanwhile
					t.Error(err)
				}
			}
		}}
		if err := shake(conn, ca); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		turns.Pass()
		synctest.Wait()
		if turns.free != 1 {
			t.Errorf("%d turns are left", turns.free)
		}
		if k := <-outcomes; k != Shed {
			t.Errorf("the outcome is %v", k)
		}
	})
}

type watcher struct {
	net.Conn
	before func()
}

func (w *watcher) Write(b []byte) (int, error) {
	w.before()
	return w.Conn.Write(b)
}

// Of several certificates the one is shown that the client can verify.
func TestCertificateIsFoundInTurn(t *testing.T) {
	ca := testcert.NewCA(t)
	a, b := ca.Leaf([]string{"a.example"}), ca.Leaf([]string{"b.example"})
	config := &tls.Config{Certificates: []tls.Certificate{a.TLS, b.TLS}}
	inTurn(config)
	for name, want := range map[string]*testcert.Leaf{"a.example": a, "b.example": b, "c.example": a} {
		got, err := config.GetCertificate(&tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		})
		if err != nil || string(got.Certificate[0]) != string(want.TLS.Certificate[0]) {
			t.Errorf("%s: another certificate, %v", name, err)
		}
	}
}
