package aead

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"testing"

	"github.com/miscreant/miscreant.go"
	"pgregory.net/rapid"
)

// RFC 5297 appendix A. Neither example is an AEAD call: the first has no nonce
// and the second two associated data items, so they go to what the AEAD is made
// of, and to the two oracles it is held against in other tests.
func TestRFC5297Examples(t *testing.T) {
	tests := []struct {
		name, key  string
		components []string
		plaintext  string
		want       string
	}{
		{
			"A.1, deterministic",
			"fffefdfc fbfaf9f8 f7f6f5f4 f3f2f1f0 f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff",
			[]string{"10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627"},
			"11223344 55667788 99aabbcc ddee",
			"85632d07 c6e8f37f 950acd32 0a2ecc93 40c02b96 90c4dc04 daef7f6a fe5c",
		},
		{
			"A.2, nonce-based",
			"7f7e7d7c 7b7a7978 77767574 73727170 40414243 44454647 48494a4b 4c4d4e4f",
			[]string{
				"00112233 44556677 8899aabb ccddeeff deaddada deaddada ffeeddcc bbaa9988 77665544 33221100",
				"10203040 50607080 90a0",
				"09f91102 9d74e35b d84156c5 635688c0",
			},
			"74686973 20697320 736f6d65 20706c61 696e7465 78742074 6f20656e 63727970 74207573 696e6720 5349562d 414553",
			"7bdb6e3b 432667eb 06f4d14b ff2fbd0f cb900f2f ddbe4043 26601965 c889bf17 dba77ceb 094fa663 b7a3f748 ba8af829 ea64ad54 4a272e9c 485b62a3 fd5c0d",
		},
	}
	for _, tt := range tests {
		key, want := unhex(t, tt.key), unhex(t, tt.want)
		var components [][]byte
		for _, c := range tt.components {
			components = append(components, unhex(t, c))
		}
		if got := sivSeal(key, unhex(t, tt.plaintext), components...); !bytes.Equal(got, want) {
			t.Errorf("%s: the test's S2V seals %x, want %x", tt.name, got, want)
		}
		if got := sealVector(t, key, unhex(t, tt.plaintext), components); !bytes.Equal(got, want) {
			t.Errorf("%s: sealed %x, want %x", tt.name, got, want)
		}
		c, err := miscreant.NewAESCMACSIV(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Seal(nil, unhex(t, tt.plaintext), components...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: miscreant seals %x, %v, want %x", tt.name, got, err, want)
		}
	}
}

// sealVector is seal with any number of components.
func sealVector(t *testing.T, key, plaintext []byte, components [][]byte) []byte {
	t.Helper()
	k, err := NewKey(AESSIVCMAC256, key)
	if err != nil {
		t.Fatal(err)
	}
	var w work
	w.d = k.zero
	for _, c := range components {
		k.component(&w, c)
	}
	head := len(plaintext) &^ 15
	if head >= 16 {
		head -= 16
	}
	k.mac.key.chain(&w.y, plaintext[:head])
	k.end(&w, plaintext[head:])
	v, text := w.y, make([]byte, len(plaintext))
	k.crypt(&w, text, plaintext, &v)
	return append(v[:], text...)
}

// With the examples agreed on, an S2V of the test's own is the oracle for every length of
// nonce, plaintext and additional data.
func TestSealAgreesWithRFC5297(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom(algorithms).Draw(t, "algorithm")
		key := rapid.SliceOfN(rapid.Byte(), a.KeyLen(), a.KeyLen()).Draw(t, "key")
		nonce := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "nonce")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "plaintext")
		additional := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "additional")
		c, err := New(a, key)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := c.Seal([]byte("x"), nonce, plaintext, additional)
		want := append([]byte("x"), sivSeal(key, plaintext, additional, nonce)...)
		if err != nil || !bytes.Equal(sealed, want) {
			t.Fatalf("sealed %x, %v, want %x", sealed, err, want)
		}
		if len(sealed)-1 != len(plaintext)+c.Overhead() {
			t.Fatalf("%d octets became %d", len(plaintext), len(sealed)-1)
		}
		opened, err := c.Open([]byte("y"), nonce, sealed[1:], additional)
		if err != nil || string(opened) != "y"+string(plaintext) {
			t.Fatalf("opened %x, %v", opened, err)
		}
	})
}

// S2V tells an empty component from one that is absent. Peers pass it always,
// so a nil slice must not leave it out.
func TestEmptyAdditionalDataIsAComponent(t *testing.T) {
	nonce := make([]byte, 16)
	for _, a := range algorithms {
		c := mustNew(t, a, key(a))
		want := sivSeal(key(a), []byte("text"), nil, nonce)
		for _, additional := range [][]byte{nil, {}} {
			sealed, err := c.Seal(nil, nonce, []byte("text"), additional)
			if err != nil || !bytes.Equal(sealed, want) {
				t.Errorf("%v: sealed %x, %v, want %x", a, sealed, err, want)
			}
			if _, err := c.Open(nil, nonce, want, additional); err != nil {
				t.Errorf("%v: %v", a, err)
			}
		}
		if _, err := c.Open(nil, nonce, sivSeal(key(a), []byte("text"), nonce), nil); !errors.Is(err, ErrOpen) {
			t.Errorf("%v: opened a message without the component: %v", a, err)
		}
	}
}

// sivSeal is SIV-Encrypt of RFC 5297 section 2.6, written from its text with
// nothing shared with the library under test but crypto/aes.
func sivSeal(key, plaintext []byte, components ...[]byte) []byte {
	mac, err := aes.NewCipher(key[:len(key)/2])
	if err != nil {
		panic(err)
	}
	ctr, err := aes.NewCipher(key[len(key)/2:])
	if err != nil {
		panic(err)
	}
	v := oracleS2V(mac, append(components[:len(components):len(components)], plaintext)...)
	q := v // Q = V bitand (1^64 || 0^1 || 1^31 || 0^1 || 1^31)
	q[8] &= 0x7f
	q[12] &= 0x7f
	out := append(v[:], plaintext...)
	cipher.NewCTR(ctr, q[:]).XORKeyStream(out[16:], out[16:])
	return out
}

// oracleS2V is RFC 5297 section 2.4; the last string is the plaintext.
func oracleS2V(b cipher.Block, strings ...[]byte) [16]byte {
	d := oracleCMAC(b, make([]byte, 16))
	n := len(strings) - 1
	for _, s := range strings[:n] {
		d = oracleXOR(oracleDouble(d), oracleCMAC(b, s))
	}
	last := strings[n]
	if len(last) >= 16 {
		t := bytes.Clone(last)
		for i := range d {
			t[len(t)-16+i] ^= d[i]
		}
		return oracleCMAC(b, t)
	}
	var padded [16]byte
	copy(padded[:], last)
	padded[len(last)] = 0x80
	t := oracleXOR(oracleDouble(d), padded)
	return oracleCMAC(b, t[:])
}

// oracleCMAC is AES-CMAC, RFC 4493 section 2.4.
func oracleCMAC(b cipher.Block, m []byte) (x [16]byte) {
	var l [16]byte
	b.Encrypt(l[:], l[:])
	k := oracleDouble(l)
	for len(m) > 16 {
		x = oracleXOR(x, [16]byte(m))
		b.Encrypt(x[:], x[:])
		m = m[16:]
	}
	var last [16]byte
	if copy(last[:], m) < 16 {
		k = oracleDouble(k)
		last[len(m)] = 0x80
	}
	x = oracleXOR(oracleXOR(x, last), k)
	b.Encrypt(x[:], x[:])
	return x
}

// oracleDouble multiplies by x in GF(2^128), RFC 5297 section 2.3.
func oracleDouble(a [16]byte) (d [16]byte) {
	for i := range 15 {
		d[i] = a[i]<<1 | a[i+1]>>7
	}
	d[15] = a[15]<<1 ^ a[0]>>7*0x87
	return d
}

func oracleXOR(a, b [16]byte) [16]byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}
