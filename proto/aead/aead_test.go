package aead

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustNew(t testing.TB, a Algorithm, key []byte) AEAD {
	t.Helper()
	c, err := New(a, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var algorithms = []Algorithm{AESSIVCMAC256, AESSIVCMAC512}

func key(a Algorithm) []byte { return bytes.Repeat([]byte{0xa5}, a.KeyLen()) }

func TestNewRefusesWrongKeys(t *testing.T) {
	for _, a := range algorithms {
		for _, n := range []int{0, 1, a.KeyLen() - 1, a.KeyLen() + 1, 48} {
			if _, err := New(a, make([]byte, n)); !errors.Is(err, ErrKey) {
				t.Errorf("%v with %d octets: %v", a, n, err)
			}
		}
	}
	for _, a := range []Algorithm{0, 1, 14, 16, 18, 30, 0xffff} {
		if _, err := New(a, make([]byte, 32)); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%v: %v", a, err)
		}
	}
}

func TestEmptyNonceIsAnError(t *testing.T) { // RFC 5297 section 6: N_MIN is 1 octet
	for _, a := range algorithms {
		c := mustNew(t, a, key(a))
		for _, nonce := range [][]byte{nil, {}} {
			if _, err := c.Seal(nil, nonce, []byte("x"), nil); !errors.Is(err, ErrNonce) {
				t.Errorf("%v: Seal: %v", a, err)
			}
			if _, err := c.Open(nil, nonce, make([]byte, 17), nil); !errors.Is(err, ErrNonce) {
				t.Errorf("%v: Open: %v", a, err)
			}
		}
	}
}

func TestPrintingHidesTheKey(t *testing.T) {
	for _, a := range algorithms {
		c := mustNew(t, a, key(a))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			if got, want := fmt.Sprintf(verb, c), a.String()+"(<secret>)"; got != want {
				t.Errorf("%s prints %q, want %q", verb, got, want)
			}
		}
	}
}
