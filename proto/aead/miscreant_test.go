package aead

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miscreant/miscreant.go"
)

// FuzzAgainstMiscreant: what is sealed is, octet by octet, what
// github.com/miscreant/miscreant.go seals; each opens the other's, and with one
// bit flipped neither does.
func FuzzAgainstMiscreant(f *testing.F) {
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 66, 127, 128, 129, 130, 144, 145, 864} {
		f.Add([]byte{byte(n)}, bytes.Repeat([]byte{'n'}, 1+n%33), bytes.Repeat([]byte{'p'}, n), bytes.Repeat([]byte{'a'}, n%97), n%2 == 0, uint16(n))
	}
	f.Fuzz(func(t *testing.T, seed, nonce, plaintext, additional []byte, large bool, flip uint16) {
		if len(nonce) == 0 || len(plaintext)+len(additional) > 1<<16 {
			return
		}
		a := AESSIVCMAC256
		if large {
			a = AESSIVCMAC512
		}
		key := make([]byte, a.KeyLen())
		copy(key, seed)
		oracle, err := miscreant.NewAESCMACSIV(key)
		if err != nil {
			t.Fatal(err)
		}
		if additional == nil {
			additional = []byte{} // an empty component, for the oracle too
		}
		want, err := oracle.Seal(nil, slices.Clone(plaintext), additional, nonce)
		if err != nil {
			t.Fatal(err)
		}
		implementations(t, func(t *testing.T) {
			shared, err := NewKey(a, key)
			if err != nil {
				t.Fatal(err)
			}
			var own, using Local
			if err := own.Set(a, key); err != nil {
				t.Fatal(err)
			}
			using.Use(shared)
			for _, c := range []AEAD{shared, &own, &using} {
				agree(t, c, nonce, plaintext, additional, want, flip)
			}
		})
	})
}

func agree(t *testing.T, c AEAD, nonce, plaintext, additional, want []byte, flip uint16) {
	t.Helper()
	sealed, err := c.Seal([]byte("x"), nonce, plaintext, additional)
	if err != nil || !bytes.Equal(sealed[1:], want) {
		t.Fatalf("sealed %x, %v, want %x", sealed[1:], err, want)
	}
	opened, err := c.Open([]byte("y"), nonce, want, additional)
	if err != nil || !bytes.Equal(opened[1:], plaintext) {
		t.Fatalf("opened %x, %v, want %x", opened, err, plaintext)
	}
	i := int(flip) % (8 * len(want))
	sealed[1+i/8] ^= 1 << (i % 8)
	if got, err := c.Open(nil, nonce, sealed[1:], additional); err != ErrOpen || got != nil {
		t.Fatalf("bit %d flipped opens to %x, %v", i, got, err)
	}
}

// TestEveryLengthAgreesWithMiscreant for texts and additional data of nothing
// to four blocks and one octet, each beside each.
func TestEveryLengthAgreesWithMiscreant(t *testing.T) {
	octets := make([]byte, 3*65)
	for i := range octets {
		octets[i] = byte(i*7 + 1)
	}
	for _, a := range algorithms {
		oracle, err := miscreant.NewAESCMACSIV(key(a))
		if err != nil {
			t.Fatal(err)
		}
		implementations(t, func(t *testing.T) {
			c := mustNew(t, a, key(a))
			for n := range 65 {
				for m := range 65 {
					plaintext, additional, nonce := octets[:n], octets[65:65+m], octets[130:146]
					want, err := oracle.Seal(nil, slices.Clone(plaintext), additional, nonce)
					if err != nil {
						t.Fatal(err)
					}
					agree(t, c, nonce, plaintext, additional, want, uint16(n*65+m))
				}
			}
		})
	}
}
