package aead

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"
)

// implementations runs a test with every implementation of AES there is here.
func implementations(t *testing.T, f func(t *testing.T)) {
	if accelerated {
		t.Run("instructions", f)
		portable(t)
	}
	t.Run("crypto/aes", f)
}

// FIPS 197 appendix C.
func TestAES(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for key, want := range map[string]string{
			"000102030405060708090a0b0c0d0e0f":                                 "69c4e0d86a7b0430d8cdb78070b4c55a",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f": "8ea2b7ca516745bfeafc49904b496089",
		} {
			var k aesKey
			k.set(unhex(t, key))
			var x block
			k.chain(&x, unhex(t, "00112233445566778899aabbccddeeff"))
			if !bytes.Equal(x[:], unhex(t, want)) {
				t.Errorf("%d octets of key: %x, want %s", len(key)/2, x, want)
			}
		}
	})
}

// Every implementation does what crypto/cipher does, under keys of both lengths
// set one after the other in the same place.
func TestAESAgreesWithCryptoCipher(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.NewChaCha8([32]byte{1})
		var k aesKey
		for i := range 200 {
			key, x, m := make([]byte, 16+i%2*16), block{}, make([]byte, i%12*aes.BlockSize)
			_, _ = r.Read(key)
			_, _ = r.Read(x[:])
			_, _ = r.Read(m)
			k.set(key)
			b, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			want, before := append(x[:], m...), bytes.Clone(m)
			cipher.NewCBCEncrypter(b, make([]byte, 16)).CryptBlocks(want[16:], xorFirst(m, x))
			// The same beside another chain, longer or shorter.
			x2, y := x, block{}
			other := make([]byte, i%7*aes.BlockSize)
			_, _ = r.Read(other)
			yAlone := y
			k.chain(&yAlone, other)
			k.chains(&x2, m, &y, other)
			if k.chain(&x, m); x2 != x || y != yAlone {
				t.Fatalf("%d and %d octets side by side: %x and %x, alone %x and %x", len(m), len(other), x2, y, x, yAlone)
			}
			if !bytes.Equal(x[:], want[len(want)-16:]) || !bytes.Equal(m, before) {
				t.Fatalf("CBC of %d octets: %x, want %x", len(m), x, want[len(want)-16:])
			}
		}
	})
}

// xorFirst is m with x added to its first block.
func xorFirst(m []byte, x block) []byte {
	m = bytes.Clone(m)
	for i := range min(len(m), len(x)) {
		m[i] ^= x[i]
	}
	return m
}

// The counter is carried as CTR mode does, from 32 bits to the next, whatever
// two bits SIV keeps zero.
func TestKeystreamAgreesWithCTR(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for _, counter := range []string{
			"00000000 00000000 00000000 00000000",
			"ffffffff ffffffff 7fffffff 7ffffffd",
			"01234567 89abcdef 00000000 fffffffe",
			"fedcba98 76543210 7fffffff 00ffffff",
		} {
			for _, n := range []int{16, 32} {
				var k aesKey
				key := bytes.Repeat([]byte{0x3c}, n)
				k.set(key)
				b, err := aes.NewCipher(key)
				if err != nil {
					t.Fatal(err)
				}
				c := block(unhex(t, counter))
				want := make([]byte, 3*len(stream{}))
				cipher.NewCTR(b, c[:]).XORKeyStream(want, want)
				for i := range 3 {
					var s stream
					k.keystream(&s, &c, len(s))
					if w := want[i*len(s):][:len(s)]; !bytes.Equal(s[:], w) {
						t.Fatalf("%s, piece %d: %x, want %x", counter, i, s, w)
					}
				}
			}
		}
	})
}

// RFC 4493 section 4.
func TestCMAC(t *testing.T) {
	implementations(t, func(t *testing.T) {
		var c cmac
		var w work
		c.set(unhex(t, "2b7e1516 28aed2a6 abf71588 09cf4f3c"), &w)
		if !bytes.Equal(c.k1[:], unhex(t, "fbeed618 35713366 7c85e08f 7236a8de")) {
			t.Errorf("K1 %x", c.k1)
		}
		if !bytes.Equal(c.k2[:], unhex(t, "f7ddac30 6ae266cc f90bc11e e46d513b")) {
			t.Errorf("K2 %x", c.k2)
		}
		m := unhex(t, `6bc1bee2 2e409f96 e93d7e11 7393172a ae2d8a57 1e03ac9c 9eb76fac 45af8e51
			30c81c46 a35ce411 e5fbc119 1a0a52ef f69f2445 df4f9b17 ad2b417b e66c3710`)
		for n, want := range map[int]string{
			0:  "bb1d6929 e9593728 7fa37d12 9b756746",
			16: "070a16b4 6b4d4144 f79bdd9d d04a287c",
			40: "dfa66747 de9ae630 30ca3261 1497c827",
			64: "51f0bebf 7e3b9d92 fc497417 79363cfe",
		} {
			c.sum(&w, m[:n])
			if !bytes.Equal(w.x[:], unhex(t, want)) {
				t.Errorf("CMAC of %d octets: %x, want %s", n, w.x, want)
			}
		}
	})
}
