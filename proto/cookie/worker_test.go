package cookie

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// A Worker does what the set and its sealer do, for one cookie after the other.
func TestWorkerAgreesWithTheKeyset(t *testing.T) {
	r := entropy(20)
	k := mustRotate(t, mustKeyset(t, r), r, 3)
	next := mustRotate(t, k, r, 3)
	var w Worker
	for i := range byte(8) {
		for _, c := range []Contents{contents256, contents512} {
			nonce := bytes.Repeat([]byte{i}, NonceLen)
			cookie, err := w.Seal(k.Newest(), []byte("x"), c, nonce)
			if err != nil || !bytes.Equal(cookie[1:], mustSeal(t, k, c, i)) {
				t.Fatalf("sealed %x, %v", cookie, err)
			}
			got, err := w.Open(next, cookie[1:])
			if err != nil || !same(got, c) {
				t.Fatalf("opened %v, %v", got, err)
			}
			// What was opened is sealed again, under another key.
			again, err := w.Seal(next.Newest(), nil, got, nonce)
			if err != nil || !bytes.Equal(again, mustSeal(t, next, c, i)) || !same(got, c) {
				t.Fatalf("sealed again %x, %v", again, err)
			}
			cookie[len(cookie)-1] ^= 1
			if got, err := w.Open(next, cookie[1:]); !errors.Is(err, ErrOpen) || got.S2C != nil {
				t.Fatalf("forged: %v, %v", got, err)
			}
		}
	}
}

// Nothing is allocated, whatever comes: a cookie that claims a ciphertext longer
// than any of ours is not even tried.
func TestWorkerDoesNotAllocate(t *testing.T) {
	k := mustKeyset(t, entropy(21))
	forged := mustSeal(t, k, contents512, 1)
	forged[30] ^= 1
	long := append(mustSeal(t, k, contents512, 1), make([]byte, 1000)...)
	binary.BigEndian.PutUint16(long[4:], 1000)
	buffer, nonce := make([]byte, 0, 200), make([]byte, NonceLen)
	var w Worker
	for name, cookie := range map[string][]byte{
		"ours": mustSeal(t, k, contents512, 1), "forged": forged, "long": long, "short": nil,
	} {
		if n := testing.AllocsPerRun(100, func() {
			c, err := w.Open(k, cookie)
			if (err == nil) != (name == "ours") {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				_, err = w.Seal(k.Newest(), buffer, c, nonce)
			}
			if err != nil && name == "ours" {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
