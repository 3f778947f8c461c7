package cookie

import (
	"bytes"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Opening never panics. What opens was sealed under the set: sealing its
// contents again with its nonce, which is deterministic, gives the same octets
// under some key of the set. A sealed cookie opens to what went in, and with
// any one bit flipped it does not open.
func FuzzCookie(f *testing.F) {
	v := vectors(f)
	f.Add(v["first-cookie"], []byte("keys of an association"), false, uint16(0))
	f.Add(v["first-cookie-512"], []byte{}, true, uint16(400))
	f.Add(v["second-cookie"][:40], []byte{1}, true, uint16(40))
	k, _ := mustParse(f, v["first-file"])
	f.Fuzz(func(t *testing.T, cookie, keys []byte, long bool, flip uint16) {
		if c, err := k.Open(cookie); err == nil {
			again, err := k.Seal(nil, c, cookie[headerLen:prefixLen])
			if err != nil || len(cookie) < len(again) || !bytes.Equal(cookie[4:len(again)], again[4:]) {
				t.Fatalf("%x opens, but sealed again is %x, %v", cookie, again, err)
			}
		} else if err != ErrOpen {
			t.Fatalf("error %v", err)
		}

		c := Contents{Algorithm: aead.AESSIVCMAC256}
		if long {
			c.Algorithm = aead.AESSIVCMAC512
		}
		c.S2C, c.C2S = make([]byte, c.Algorithm.KeyLen()), make([]byte, c.Algorithm.KeyLen())
		copy(c.C2S, keys[copy(c.S2C, keys):])
		nonce := make([]byte, NonceLen)
		copy(nonce, cookie)
		sealed, err := k.Seal(nil, c, nonce)
		if err != nil || len(sealed) != Len(c.Algorithm) {
			t.Fatalf("sealed %x, %v", sealed, err)
		}
		if got, err := k.Open(sealed); err != nil || !same(got, c) {
			t.Fatalf("opened %v, %v", got, err)
		}
		i := int(flip) % (8 * len(sealed))
		sealed[i/8] ^= 1 << (i % 8)
		if got, err := k.Open(sealed); err == nil {
			t.Fatalf("bit %d flipped opens to %v", i, got)
		}
	})
}

// What Parse accepts, Marshal writes octet for octet, and it seals cookies that
// open.
func FuzzKeyFile(f *testing.F) {
	v := vectors(f)
	f.Add(v["first-file"])
	f.Add(v["second-file"][:84])
	f.Fuzz(func(t *testing.T, file []byte) {
		k, saved, err := Parse(file)
		if err != nil {
			return
		}
		if got := k.Marshal(saved); !bytes.Equal(got, file) {
			t.Fatalf("%x became %x", file, got)
		}
		sealed, err := k.Seal(nil, contents256, make([]byte, NonceLen))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(sealed); err != nil || !same(got, contents256) {
			t.Fatalf("opened %v, %v", got, err)
		}
	})
}
