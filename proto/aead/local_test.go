package aead

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// A Local takes no memory, whatever it does, where there is room for the
// results. Setting a key does not either with instructions of its own; with
// crypto/aes it takes two blocks.
func TestLocalDoesNotAllocate(t *testing.T) {
	const calls = 100
	implementations(t, func(t *testing.T) {
		for _, a := range algorithms {
			k, err := NewKey(a, key(a))
			if err != nil {
				t.Fatal(err)
			}
			var l Local
			l.Use(k)
			nonce, text, additional := make([]byte, 16), make([]byte, 900), make([]byte, 200)
			sealed, opened := make([]byte, 0, 1000), make([]byte, 0, 1000)
			for _, n := range []int{0, 15, 66, 900} {
				if got := testing.AllocsPerRun(calls, func() {
					s, err := l.Seal(sealed, nonce, text[:n], additional)
					if err == nil {
						_, err = l.Open(opened, nonce, s, additional)
					}
					if err != nil {
						t.Fatal(err)
					}
					s[0] ^= 1
					if _, err := l.Open(opened, nonce, s, additional); err != ErrOpen {
						t.Fatal(err)
					}
				}); got != 0 {
					t.Errorf("%v, %d octets: %v allocations", a, n, got)
				}
			}
			want := 2.0
			if accelerated {
				want = 0
			}
			secret := key(a)
			if got := testing.AllocsPerRun(calls, func() {
				if err := l.Set(a, secret); err != nil {
					t.Fatal(err)
				}
			}); got != want {
				t.Errorf("%v: setting a key makes %v allocations, want %v", a, got, want)
			}
		}
	})
}

// One Local changes keys: shared ones, its own, of both algorithms.
func TestLocalChangesKeys(t *testing.T) {
	var l Local
	nonce, text := []byte("nonce"), []byte("some plaintext, of two blocks")
	check := func(a Algorithm, key []byte) {
		t.Helper()
		got, err := l.Seal(nil, nonce, text, nil)
		if want := sivSeal(key, text, nil, nonce); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %x, %v, want %x", a, got, err, want)
		}
		if back, err := l.Open(nil, nonce, got, nil); err != nil || !bytes.Equal(back, text) {
			t.Errorf("%v: opened %x, %v", a, back, err)
		}
	}
	for i := range 6 {
		a := algorithms[i%2]
		secret := bytes.Repeat([]byte{byte(i)}, a.KeyLen())
		if err := l.Set(a, secret); err != nil {
			t.Fatal(err)
		}
		check(a, secret)
		if err := l.Set(a, secret[1:]); !errors.Is(err, ErrKey) {
			t.Error(err)
		}
		if err := l.Set(30, secret); !errors.Is(err, ErrAlgorithm) {
			t.Error(err)
		}
		check(a, secret) // as before the error
		other := algorithms[(i+1)%2]
		k, err := NewKey(other, key(other))
		if err != nil {
			t.Fatal(err)
		}
		l.Use(k)
		check(other, key(other))
		check(other, key(other)) // a key that is used stays as it was
	}
}

func TestPrintingALocalHidesTheKey(t *testing.T) {
	var l Local
	for _, want := range []string{"no key", "AES-SIV-CMAC-256(<secret>)"} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, &l); got != want {
				t.Errorf("%s prints %q, want %q", verb, got, want)
			}
		}
		if err := l.Set(AESSIVCMAC256, key(AESSIVCMAC256)); err != nil {
			t.Fatal(err)
		}
	}
}

// Neither the keystream nor the plaintext stays in the working memory, and a
// failure leaves nothing in the buffer, with room to spare or without.
func TestLocalForgetsPlaintext(t *testing.T) {
	var l Local
	if err := l.Set(AESSIVCMAC256, key(AESSIVCMAC256)); err != nil {
		t.Fatal(err)
	}
	text := []byte("a plaintext that nobody else may read")
	sealed, err := l.Seal(nil, []byte("n"), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	clean := func(when string) {
		t.Helper()
		if l.work.tail != [32]byte{} || l.work.keystream != (stream{}) {
			t.Errorf("%s: %q and keystream %x are left", when, l.work.tail, l.work.keystream)
		}
	}
	clean("sealed")
	buffer := make([]byte, 0, len(text))
	if _, err := l.Open(buffer, []byte("n"), sealed, nil); err != nil || !bytes.Equal(buffer[:len(text)], text) {
		t.Fatal(err)
	}
	clean("opened")
	if _, err := l.Open(buffer, []byte("m"), sealed, nil); err != ErrOpen || !bytes.Equal(buffer[:len(text)], make([]byte, len(text))) {
		t.Errorf("failed: %q, %v", buffer[:len(text)], err)
	}
	clean("failed")
}
