package proto

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestAuthenticatorLayout(t *testing.T) { // RFC 8915 figure 4
	nonce := []byte{1, 2, 3, 4, 5}
	ciphertext := []byte{11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27}
	want := unhex(t, `
		0404 002c
		0005 0011
		0102030405 000000
		0b0c0d0e0f101112131415161718191a1b 000000
		0000000000000000`)
	got, err := AppendAuthenticator([]byte("x"), nonce, ciphertext, 8)
	if err != nil || !bytes.Equal(got[1:], want) || got[0] != 'x' {
		t.Fatalf("encoded %x, %v, want %x", got, err, want)
	}
	n, c, padding, err := ParseAuthenticator(want[fieldHeaderLen:])
	if err != nil || !bytes.Equal(n, nonce) || !bytes.Equal(c, ciphertext) || padding != 8 {
		t.Errorf("parsed %x, %x, %d, %v", n, c, padding, err)
	}
	if cap(n) != len(n) || cap(c) != len(c) {
		t.Error("appending to a part would write into the packet")
	}
}

// "Let 'N_REQ' be the lesser of 16 and N_MAX, rounded up to the nearest
// multiple of 4. If N_LEN is greater than or equal to N_REQ, then no Additional
// Padding field is required. Otherwise, the Additional Padding field SHALL be
// at least N_REQ - N_LEN octets in length" (RFC 8915 section 5.6), where N_LEN
// is the padded length of the nonce.
func TestAuthenticatorPadding(t *testing.T) {
	for n, want := range map[int]int{0: 16, 1: 12, 4: 12, 5: 8, 8: 8, 11: 4, 12: 4, 13: 0, 16: 0, 17: 0, 32: 0} {
		if got := AuthenticatorPadding(n); got != want {
			t.Errorf("a nonce of %d octets needs %d of padding, want %d", n, got, want)
		}
	}
}

// "Implementers are advised to explicitly handle this case and ensure that the
// extension field they emit is of legal length" (RFC 8915 section 5.6).
func TestAuthenticatorHasLegalLength(t *testing.T) {
	for nonce := range 40 {
		for text := range 40 {
			b, err := AppendAuthenticator(nil, make([]byte, nonce), make([]byte, text), 0)
			if err != nil || len(b) < MinLastFieldLen || len(b)%4 != 0 {
				t.Fatalf("nonce %d, ciphertext %d: %d octets, %v", nonce, text, len(b), err)
			}
			if _, _, err := NextField(b, 0, MinLastFieldLen); err != nil {
				t.Fatalf("nonce %d, ciphertext %d: %v", nonce, text, err)
			}
		}
	}
	before := []byte("x")
	for _, tt := range []struct{ nonce, text, extra int }{
		{16, 65512, 0}, {65525, 0, 0}, {0, 0, 65528}, {16, 16, -4}, {16, 16, 2}, {16, 16, math.MaxInt32 &^ 3},
	} {
		b, _, err := BeginAuthenticator(before, tt.nonce, tt.text, tt.extra)
		if !errors.Is(err, ErrField) || !bytes.Equal(b, before) {
			t.Errorf("%+v: %d octets, %v", tt, len(b), err)
		}
	}
	b, at, err := BeginAuthenticator(before, 16, 65504, 4)
	if err != nil || len(b) != 1+65532 || at != 1+8 {
		t.Errorf("the longest: %d octets, nonce at %d, %v", len(b), at, err)
	}
}

// Lengths that reach beyond the field have crashed servers (CVE-2023-3036) and
// made others read what was not theirs.
func TestAuthenticatorPartsLieWithinTheField(t *testing.T) {
	for size := range 100 {
		for _, n := range []int{0, 1, 15, 16, 17, size - 24, size - 20, size - 8, size - 4, size, size + 8, 0xffff} {
			for _, c := range []int{0, 1, 15, 16, 17, size - 24, size - 20, size - 8, size - 4, size, size + 8, 0xffff} {
				if n < 0 || c < 0 || size < 4 {
					continue
				}
				value := make([]byte, size)
				value[0], value[1], value[2], value[3] = byte(n>>8), byte(n), byte(c>>8), byte(c)
				nonce, text, padding, err := ParseAuthenticator(value)
				fits := pad4(n)+pad4(c) <= size-4
				switch {
				case fits && (err != nil || len(nonce) != n || len(text) != c || padding != size-4-pad4(n)-pad4(c)):
					t.Fatalf("nonce %d, ciphertext %d in %d: %d, %d, %d, %v", n, c, size, len(nonce), len(text), padding, err)
				case !fits && !errors.Is(err, ErrField):
					t.Fatalf("nonce %d, ciphertext %d in %d: %v", n, c, size, err)
				}
			}
		}
	}
	for n := range 4 {
		if _, _, _, err := ParseAuthenticator(make([]byte, n)); !errors.Is(err, ErrField) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestAuthenticatorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nonce := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "nonce")
		text := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "ciphertext")
		extra := 4 * rapid.IntRange(0, 8).Draw(t, "extra")
		b, err := AppendAuthenticator(nil, nonce, text, extra)
		if err != nil {
			t.Fatal(err)
		}
		f, rest, err := NextField(b, 0, MinLastFieldLen)
		if err != nil || len(rest) != 0 || f.Type != FieldAuthenticator {
			t.Fatalf("%+v, %d left, %v", f, len(rest), err)
		}
		n, c, padding, err := ParseAuthenticator(f.Value)
		if err != nil || !bytes.Equal(n, nonce) || !bytes.Equal(c, text) || padding < extra {
			t.Fatalf("%x, %x, %d, %v", n, c, padding, err)
		}
	})
}
