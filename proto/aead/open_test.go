package aead

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestAnyChangedBitIsDetected(t *testing.T) {
	for _, a := range algorithms {
		for _, text := range []string{"", "x", "sixteen octets!!", "more than sixteen octets"} {
			c := mustNew(t, a, key(a))
			nonce, additional := bytes.Repeat([]byte{7}, 16), []byte("header")
			sealed, err := c.Seal(nil, nonce, []byte(text), additional)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string][]byte{"ciphertext": sealed, "nonce": nonce, "additional data": additional}
			for name, part := range parts {
				for i := range 8 * len(part) {
					part[i/8] ^= 1 << (i % 8)
					if got, err := c.Open(nil, nonce, sealed, additional); !errors.Is(err, ErrOpen) || got != nil {
						t.Errorf("%v: bit %d of the %s: %x, %v", a, i, name, got, err)
					}
					part[i/8] ^= 1 << (i % 8)
				}
			}
			for n := range len(sealed) {
				if _, err := c.Open(nil, nonce, sealed[:n], additional); !errors.Is(err, ErrOpen) {
					t.Errorf("%v: cut to %d of %d octets: %v", a, n, len(sealed), err)
				}
			}
			if _, err := c.Open(nil, nonce, append(sealed, 0), additional); !errors.Is(err, ErrOpen) {
				t.Errorf("%v: an octet more: %v", a, err)
			}
			other := mustNew(t, a, bytes.Repeat([]byte{0x5a}, a.KeyLen()))
			if _, err := other.Open(nil, nonce, sealed, additional); !errors.Is(err, ErrOpen) {
				t.Errorf("%v: another key: %v", a, err)
			}
		}
	}
}

// "Otherwise, the special symbol FAIL is returned" (RFC 5297 section 2.7), and
// nothing is left behind in the caller's buffer either.
func TestFailedOpenLeavesNoPlaintext(t *testing.T) {
	for _, a := range algorithms {
		for _, secret := range []string{"s", "a plaintext that nobody authenticated"} {
			failedOpen(t, a, []byte(secret))
		}
	}
}

func failedOpen(t *testing.T, a Algorithm, secret []byte) {
	t.Helper()
	c := mustNew(t, a, key(a))
	nonce := make([]byte, 16)
	sealed, err := c.Seal(nil, nonce, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed[0] ^= 1 // the tag; the keystream depends on it
	sealed[len(sealed)-1] ^= 1
	for _, spare := range []int{0, len(secret) - 1, len(secret), 2 * len(secret)} {
		buffer := bytes.Repeat([]byte{0xee}, 4+spare)
		if _, err := c.Open(buffer[:4], nonce, sealed, nil); !errors.Is(err, ErrOpen) {
			t.Fatal(err)
		}
		if !bytes.Equal(buffer[:4], []byte{0xee, 0xee, 0xee, 0xee}) {
			t.Error("what was in dst has changed")
		}
		for i, o := range buffer[4:] {
			if o != 0 && o != 0xee {
				t.Fatalf("%v: with %d octets to spare, octet %d of dst is %#02x", a, spare, i, o)
			}
		}
	}
}

func TestResultsAreAppended(t *testing.T) {
	c := mustNew(t, AESSIVCMAC256, key(AESSIVCMAC256))
	nonce := make([]byte, 16)
	buffer := make([]byte, 3, 100)
	copy(buffer, "abc")
	sealed, err := c.Seal(buffer, nonce, []byte("text"), nil)
	if err != nil || string(sealed[:3]) != "abc" || &sealed[0] != &buffer[0] {
		t.Fatalf("%x, %v", sealed, err)
	}
	out := make([]byte, 3, 100)
	copy(out, "def")
	opened, err := c.Open(out, nonce, sealed[3:], nil)
	if err != nil || string(opened) != "deftext" || &opened[0] != &out[0] {
		t.Errorf("%q, %v", opened, err)
	}
}

// New copies the key: whoever gave it may erase it.
func TestKeyIsCopied(t *testing.T) {
	for _, a := range algorithms {
		k := key(a)
		c := mustNew(t, a, k)
		sealed, err := c.Seal(nil, []byte{1}, []byte("text"), nil)
		if err != nil {
			t.Fatal(err)
		}
		clear(k)
		if _, err := c.Open(nil, []byte{1}, sealed, nil); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
}

// One AEAD serves every worker at once; the race detector watches.
func TestConcurrentUse(t *testing.T) {
	for _, a := range algorithms {
		c := mustNew(t, a, key(a))
		done := make(chan error)
		const workers = 4
		for w := range workers {
			go func() {
				var err error
				for i := 0; i < 50 && err == nil; i++ {
					text, nonce := fmt.Appendf(nil, "worker %d message %d", w, i), []byte{byte(w + 1), byte(i)}
					var sealed, opened []byte
					if sealed, err = c.Seal(nil, nonce, text, nonce); err != nil {
						break
					}
					if opened, err = c.Open(nil, nonce, sealed, nonce); err == nil && !bytes.Equal(opened, text) {
						err = fmt.Errorf("%q became %q", text, opened)
					}
				}
				done <- err
			}()
		}
		for range workers {
			if err := <-done; err != nil {
				t.Errorf("%v: %v", a, err)
			}
		}
	}
}

func TestLengths(t *testing.T) {
	for _, a := range algorithms {
		c := mustNew(t, a, key(a))
		if c.NonceLen() != 16 || c.Overhead() != 16 { // RFC 5297 sections 2.6 and 3
			t.Errorf("%v: nonce %d, overhead %d", a, c.NonceLen(), c.Overhead())
		}
	}
	for a, want := range map[Algorithm]string{15: "AES-SIV-CMAC-256", 17: "AES-SIV-CMAC-512", 30: "AEAD 30"} {
		if a.String() != want || a.Supported() != (a != 30) {
			t.Errorf("%d is %v, supported %v", uint16(a), a, a.Supported())
		}
	}
}
