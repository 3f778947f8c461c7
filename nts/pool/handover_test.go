package pool

import (
	"errors"
	"testing"

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
