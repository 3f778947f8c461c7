package ke

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

const (
	fixedKeys = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	fixedQ       = token + "800c 0040" + fixedKeys + ordinary + "0008 0000" + eom
	fixedQNoKeep = token + "800c 0040" + fixedKeys + ordinary + eom
	informationA = "8009 0002 0000 800a 0008 00110040 000f0020 0008 0000" + eom
)

func poolWorld(t *testing.T) *world {
	w := newWorld(t)
	w.config.Authorise = NewAuthoriser([]string{"other", "abc"}, nil)
	w.config.LongLivedConnections = 2
	return w
}

func wantFixed(t *testing.T, msg []byte, keep nts.Dialect) {
	t.Helper()
	resp, err := nts.DecodeResponse(msg)
	est, ok := resp.(nts.Established)
	if err != nil || !ok || est.KeepAlive != keep || len(est.Cookies) != 8 {
		t.Fatalf("answered %v, %v; want keep alive %v", resp, err, keep)
	}
}

// One connection serves many requests of a pool, support answers say keep
// alive too, and cookies are made with the key of the moment.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		c := w.mustRaw()
		for range 2 {
			say(t, c, informationQ)
			wantEqual(t, hearMessage(t, c), informationA)
			time.Sleep(time.Minute) // far longer than the time for an exchange
		}
		say(t, c, fixedQ)
		wantFixed(t, hearMessage(t, c), nts.IANA)
		want := cookie{15, string(fromHex(fixedKeys[:64])), string(fromHex(fixedKeys[64:])), "monday"}
		if got := w.lastCookie(); got != want {
			t.Errorf("cookie of %+v", got)
		}
		w.rotate("tuesday")
		say(t, c, fixedQ)
		wantFixed(t, hearMessage(t, c), nts.IANA)
		if got := w.lastCookie(); got.key != "tuesday" {
			t.Errorf("cookie made with the key of %s", got.key)
		}
		say(t, c, fixedQNoKeep) // a request without it is the last
		wantFixed(t, hear(t, c), nts.NoDialect)
		c.NetConn().Close()
		synctest.Wait()
		if got := w.kinds(); got != "information information fixed-key fixed-key fixed-key" {
			t.Errorf("outcomes %q", got)
		}
	})
}

// An ordinary key exchange on a kept connection gets Error 1, and no key is
// taken out of that connection.
func TestNoKeyExchangeOnAKeptConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		say(t, c, ordinary+eom)
		wantEqual(t, hear(t, c), errorOne)
		if len(w.sealed) != 0 {
			t.Error("cookies were made")
		}
	})
}

// The token counts for its own message only.
func TestEveryRequestIsAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		say(t, c, "8009 0000 0008 0000"+eom)
		wantEqual(t, hear(t, c), "8002 0002 0000"+eom)
	})
}

// Keep Alive of a stranger, or in an ordinary key exchange, is ignored.
func TestKeepAliveIsForPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		for _, q := range []string{ordinary + "0008 0000" + eom, token + ordinary + "0008 0000" + eom} {
			c := w.mustRaw()
			say(t, c, q)
			wantFixed(t, hear(t, c), nts.NoDialect)
		}
	})
}

func TestKeptConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		a, b := w.mustRaw(), w.mustRaw()
		say(t, a, informationQ)
		hearMessage(t, a)
		say(t, b, informationQ)
		hearMessage(t, b)

		refused := w.mustRaw()
		say(t, refused, informationQ)
		wantEqual(t, hear(t, refused), "8009 0002 0000 800a 0008 00110040 000f0020"+eom)
		if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
			t.Errorf("an ordinary client beside them: %v", err)
		}

		// A place becomes free however a connection ends, and again and again.
		a.Close()
		for i := range 50 {
			synctest.Wait()
			c := w.mustRaw()
			say(t, c, informationQ)
			wantEqual(t, hearMessage(t, c), informationA)
			if t.Failed() {
				t.Fatalf("round %d", i)
			}
			switch i % 3 {
			case 0:
				c.Close()
			case 1:
				c.NetConn().Close()
			case 2:
				say(t, c, "8001")
				c.Close()
			}
		}
		synctest.Wait()
		if got := strings.Count(w.kinds(), "keep-alive-refused"); got != 1 {
			t.Errorf("%d refusals reported", got)
		}
	})
}

// No place for kept connections is a setting, a negative number is not one.
func TestNumberOfKeptConnections(t *testing.T) {
	for _, c := range []struct{ configured, kept int }{{0, 0}, {1, 1}, {-1, 3}} {
		synctest.Test(t, func(t *testing.T) {
			w := poolWorld(t)
			w.config.ConcurrentConnections, w.config.LongLivedConnections = 30, c.configured
			w.start()
			for i := range 5 {
				conn := w.mustRaw()
				say(t, conn, informationQ)
				resp, err := nts.DecodeSupported(hearMessage(t, conn))
				if s, ok := resp.(nts.Supported); err != nil || !ok || s.KeepAlive != (i < c.kept) {
					t.Errorf("%d configured, connection %d: %v, %v", c.configured, i, resp, err)
				}
			}
		})
	}
}

// The keys of a pool's client do not stay in memory.
func TestFixedKeysAreOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		var seen [][]byte
		w.config.Seal = func() nts.Sealer {
			return func(_ aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
				seen = append(seen, c2s, s2c)
				return []byte{1}, nil
			}
		}
		w.start()
		c := w.mustRaw()
		say(t, c, fixedQNoKeep)
		wantFixed(t, hear(t, c), nts.NoDialect)
		synctest.Wait()
		for _, key := range seen {
			if !bytes.Equal(key, make([]byte, 32)) {
				t.Fatalf("key %x is still there", key)
			}
		}
	})
}

func TestKeptConnectionMayRestOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.config.Idle = 3 * time.Minute
		w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		began := time.Now()
		if got := hear(t, c); len(got) != 0 {
			t.Errorf("received %x", got)
		}
		if took := time.Since(began); took != w.config.Idle {
			t.Errorf("closed after %v, want %v", took, w.config.Idle)
		}
		synctest.Wait()
		if w.kinds() != "information keep-alive-ended" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// Once a request begins, it has the time of an exchange and no more.
func TestSlowRequestOnAKeptConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		time.Sleep(time.Minute)
		began := time.Now()
		say(t, c, "80")
		wantEqual(t, hear(t, c), errorOne)
		if took := time.Since(began); took != DefaultTimeout {
			t.Errorf("closed after %v, want %v", took, DefaultTimeout)
		}
	})
}

func TestStoppingEndsRestingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		synctest.Wait()
		began := time.Now()
		w.stop()
		if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
			t.Errorf("received %x, %v", got, err)
		}
		c.NetConn().Close()
		if err := <-w.served; err != nil || time.Since(began) != 0 {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

// However Serve ends, it does not wait for connections that rest.
func TestClosedListenerEndsRestingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolWorld(t)
		l := w.start()
		c := w.mustRaw()
		say(t, c, informationQ)
		hearMessage(t, c)
		synctest.Wait()
		began := time.Now()
		l.Close()
		if got := hear(t, c); len(got) != 0 {
			t.Errorf("received %x", got)
		}
		c.NetConn().Close()
		if err := <-w.served; err == nil || time.Since(began) != 0 {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

// Without authorised pools there is no such thing.
func TestNobodyIsAuthorisedByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for _, q := range []string{informationQ, fixedQ} {
			c := w.mustRaw()
			say(t, c, q)
			wantEqual(t, hear(t, c), "8002 0002 0000"+eom)
		}
	})
}

func TestAuthoriser(t *testing.T) {
	a := NewAuthoriser([]string{"", "abc", "defgh"}, nil)
	for token, want := range map[string]bool{
		"abc": true, "defgh": true, "": false, "ab": false, "abd": false, "abcdefgh": false, "ABC": false,
	} {
		if a.Token([]byte(token)) != want {
			t.Errorf("token %q is not %v", token, want)
		}
	}
	var nobody *Authoriser
	if nobody.Token([]byte("abc")) || nobody.Leaf(nil) || nobody.WantsCertificates() || a.WantsCertificates() || a.Leaf(nil) {
		t.Error("nobody is somebody")
	}
}
