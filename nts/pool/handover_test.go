package pool

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// The right to give the keys away is used up by the first use, for the same
// source too.
func TestHandoverCanBeUsedOnce(t *testing.T) {
	exports := 0
	h := &handover{export: func(_ string, _ []byte, n int) ([]byte, error) {
		exports++
		key := make([]byte, n)
		key[0] = byte(exports)
		return key, nil
	}}
	a, b := &member{}, &member{}
	algorithm := nts.SupportedAlgorithm{ID: 15, KeyLen: 32}
	c, err := h.commit(a, algorithm)
	if err != nil || len(c.c2s) != 32 || len(c.s2c) != 32 || exports != 2 {
		t.Fatalf("%v, %v after %d exports", c, err, exports)
	}
	for _, m := range []*member{a, b} {
		if c, err := h.commit(m, algorithm); !errors.Is(err, errSpent) || c != nil {
			t.Errorf("%v, %v", c, err)
		}
	}
	if exports != 2 {
		t.Errorf("%d exports", exports)
	}
	c.discard()
	if c.c2s[0] != 0 || c.s2c[0] != 0 {
		t.Error("the keys are still there")
	}
}

// A failed export uses it up as well: what was exported is unknown.
func TestHandoverIsUsedUpByAFailure(t *testing.T) {
	broken := errors.New("no")
	h := &handover{export: func(string, []byte, int) ([]byte, error) { return nil, broken }}
	if _, err := h.commit(&member{}, nts.SupportedAlgorithm{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := h.commit(&member{}, nts.SupportedAlgorithm{}); !errors.Is(err, errSpent) {
		t.Errorf("%v", err)
	}
}

// Between sources that run: keys that are by mistake to go out on another
// source's connection, a new one or one that rested, stay here. The connection
// ends, its place is free again, nothing is tried a second time, and the source
// that the keys belong to can still have them.
func TestKeysDoNotCrossBetweenSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		own, other := w.add(), w.add(func(s *source) { s.keep = true })
		w.start()
		h := &handover{export: func(_ string, _ []byte, n int) ([]byte, error) { return make([]byte, n), nil }}
		c, err := h.commit(w.leg(0).member, nts.SupportedAlgorithm{ID: 15, KeyLen: 32})
		if err != nil {
			t.Fatal(err)
		}
		for _, reused := range []bool{false, true} {
			l := w.leg(1)
			if reused {
				w.take(l, nts.IANA).done(nts.IANA)
			}
			conn := w.take(l, nts.IANA)
			if conn.reused != reused {
				t.Fatalf("reused: %v", conn.reused)
			}
			dials := w.dials(other)
			if est, err := w.pool.broker.send(t.Context(), c, conn); !errors.Is(err, errSpent) {
				t.Errorf("%+v, %v", est, err)
			}
			synctest.Wait()
			if n := len(other.fixedKeys()); n != 0 {
				t.Errorf("another source has the keys %d times", n)
			}
			if l.slots.Taken() != 0 || other.openNow() != 0 || w.dials(other) != dials {
				t.Errorf("%d places are taken, %d connections are open, %d more were made", l.slots.Taken(), other.openNow(), w.dials(other)-dials)
			}
		}
		if est, err := w.pool.broker.send(t.Context(), c, w.take(w.leg(0), nts.IANA)); err != nil || len(est.Cookies) == 0 {
			t.Errorf("%+v, %v", est, err)
		}
		if n := len(own.fixedKeys()); n != 1 {
			t.Errorf("the source of the keys has them %d times", n)
		}
	})
}

// Keys that belong to one source do not go over a connection to another.
func TestCommitmentIsBoundToItsSource(t *testing.T) {
	h := &handover{export: func(_ string, _ []byte, n int) ([]byte, error) { return make([]byte, n), nil }}
	c, err := h.commit(&member{}, nts.SupportedAlgorithm{ID: 15, KeyLen: 32})
	if err != nil {
		t.Fatal(err)
	}
	// The connection is nil: to write to it would crash.
	if _, err := c.send(t.Context(), &upstreamConn{leg: &leg{member: &member{}}}); !errors.Is(err, errSpent) {
		t.Errorf("%v", err)
	}
}
