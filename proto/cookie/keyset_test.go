package cookie

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ntpd-go/ntpd-go/proto/aead"
	"pgregory.net/rapid"
)

// entropy is a reproducible source of keys and nonces.
func entropy(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func mustKeyset(t testing.TB, r io.Reader) *Keyset {
	t.Helper()
	k, err := NewKeyset(r)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustRotate(t testing.TB, k *Keyset, r io.Reader, stale int) *Keyset {
	t.Helper()
	next, err := k.Rotate(r, stale)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func mustSeal(t testing.TB, k *Keyset, c Contents, nonce byte) []byte {
	t.Helper()
	b, err := k.Seal(nil, c, bytes.Repeat([]byte{nonce}, NonceLen))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStaleKeysOpenAndForgottenOnesDoNot(t *testing.T) {
	for _, stale := range []int{-1, 0, 1, 3, 7} {
		r := entropy(1)
		k := mustKeyset(t, r)
		var cookies [][]byte
		for i := range 12 {
			cookies = append(cookies, mustSeal(t, k, contents256, byte(i)))
			for age := range len(cookies) {
				_, err := k.Open(cookies[len(cookies)-1-age])
				if opens := age <= max(stale, 0); opens != (err == nil) {
					t.Errorf("stale keys %d, rotation %d: a cookie %d keys old: %v", stale, i, age, err)
				}
			}
			if want := min(i, max(stale, 0)) + 1; k.Len() != want {
				t.Errorf("stale keys %d, rotation %d: %d keys, want %d", stale, i, k.Len(), want)
			}
			if id := binary.BigEndian.Uint32(cookies[i]); id != uint32(i) {
				t.Errorf("stale keys %d, rotation %d: key identifier %d", stale, i, id)
			}
			k = mustRotate(t, k, r, stale)
		}
	}
}

// A smaller stale-key-count after a restart takes effect at the next rotation.
func TestFewerStaleKeys(t *testing.T) {
	r := entropy(2)
	k := mustKeyset(t, r)
	for range 6 {
		k = mustRotate(t, k, r, 7)
	}
	old := mustSeal(t, k, contents256, 1)
	k = mustRotate(t, k, r, 7)
	recent := mustSeal(t, k, contents256, 2)
	k = mustRotate(t, k, r, 1)
	if k.Len() != 2 {
		t.Errorf("%d keys", k.Len())
	}
	if _, err := k.Open(recent); err != nil {
		t.Errorf("the stale key: %v", err)
	}
	if _, err := k.Open(old); !errors.Is(err, ErrOpen) {
		t.Errorf("a key too many: %v", err)
	}
}

func TestKeyIdentifiersWrap(t *testing.T) {
	k := mustKeyset(t, entropy(3))
	k.offset = 0xffff_fffe
	r := entropy(4)
	var cookies [][]byte
	for i, want := range []uint32{0xffff_fffe, 0xffff_ffff, 0, 1, 2} {
		cookies = append(cookies, mustSeal(t, k, contents512, byte(i)))
		if id := binary.BigEndian.Uint32(cookies[i]); id != want {
			t.Errorf("rotation %d: identifier %#x, want %#x", i, id, want)
		}
		for age := range min(len(cookies), 3) {
			if got, err := k.Open(cookies[i-age]); err != nil || !same(got, contents512) {
				t.Errorf("rotation %d, %d keys old: %v", i, age, err)
			}
		}
		k = mustRotate(t, k, r, 2)
	}
}

func TestRotateLeavesTheSetAsItWas(t *testing.T) {
	r := entropy(5)
	k := mustRotate(t, mustKeyset(t, r), r, 3)
	k.keys = slices.Grow(k.keys, 4)
	before := k.Marshal(0)
	cookie := mustSeal(t, k, contents256, 1)
	for range 5 { // rotating a set does not reach into the sets that followed it
		next := mustRotate(t, k, r, 3)
		nextBefore := next.Marshal(0)
		mustRotate(t, k, r, 3)
		if !bytes.Equal(next.Marshal(0), nextBefore) {
			t.Error("the next set has changed")
		}
	}
	if !bytes.Equal(k.Marshal(0), before) || !bytes.Equal(mustSeal(t, k, contents256, 1), cookie) {
		t.Error("the set has changed")
	}
}

func TestKeysetIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes thousands of keys")
	}
	k := mustKeyset(t, entropy(6))
	full := slices.Repeat(k.keys, MaxKeys)
	k = &Keyset{keys: full, primary: MaxKeys - 1}
	k = mustRotate(t, k, entropy(7), math.MaxInt)
	if k.Len() != MaxKeys || k.offset != 1 {
		t.Errorf("%d keys, offset %d", k.Len(), k.offset)
	}
	if _, _, err := Parse(k.Marshal(0)); err != nil {
		t.Errorf("the largest set: %v", err)
	}
}

func TestNoEntropyNoKey(t *testing.T) {
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"an error":  iotest.ErrReader(broken),
		"too short": io.MultiReader(bytes.NewReader(make([]byte, keyLen-1)), iotest.ErrReader(broken)),
	} {
		if k, err := NewKeyset(r); !errors.Is(err, broken) || k != nil {
			t.Errorf("%s: NewKeyset: %v, %v", name, k, err)
		}
		k := mustKeyset(t, entropy(8))
		if next, err := k.Rotate(r, 1); !errors.Is(err, broken) || next != nil {
			t.Errorf("%s: Rotate: %v, %v", name, next, err)
		}
	}
}

func TestSealerSealsAndNothingElse(t *testing.T) {
	r := entropy(9)
	k := mustRotate(t, mustKeyset(t, r), r, 3)
	nonce := count(1, NonceLen)
	sealed, err := k.Newest().Seal([]byte("x"), contents256, nonce)
	if err != nil || sealed[0] != 'x' {
		t.Fatalf("%x, %v", sealed, err)
	}
	if again, err := k.Seal(nil, contents256, nonce); err != nil || !bytes.Equal(again, sealed[1:]) {
		t.Errorf("Keyset.Seal makes %x, %v", again, err)
	}
	if got, err := k.Open(sealed[1:]); err != nil || !same(got, contents256) {
		t.Errorf("opened %v, %v", got, err)
	}
}

func TestSealRefusesWhatOpenWould(t *testing.T) {
	k, dst := mustKeyset(t, entropy(10)), []byte("dst")
	for name, c := range map[string]Contents{
		"nothing":               {},
		"an unknown algorithm":  {Algorithm: 30, S2C: make([]byte, 16), C2S: make([]byte, 16)},
		"a short S2C key":       {Algorithm: 15, S2C: make([]byte, 31), C2S: make([]byte, 32)},
		"a long C2S key":        {Algorithm: 15, S2C: make([]byte, 32), C2S: make([]byte, 33)},
		"keys of the other one": {Algorithm: 17, S2C: make([]byte, 32), C2S: make([]byte, 32)},
	} {
		if got, err := k.Seal(dst, c, make([]byte, NonceLen)); !errors.Is(err, ErrContents) || !bytes.Equal(got, dst) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for _, n := range []int{0, 1, 15, 17, 32} {
		if got, err := k.Seal(dst, contents256, make([]byte, n)); !errors.Is(err, ErrNonce) || !bytes.Equal(got, dst) {
			t.Errorf("a nonce of %d octets: %x, %v", n, got, err)
		}
	}
}

// Cookies that were cut short have crashed servers (CVE-2023-33192).
func TestOpenRefusesDamagedCookies(t *testing.T) {
	r := entropy(11)
	k := mustRotate(t, mustKeyset(t, r), r, 3)
	for _, c := range []Contents{contents256, contents512} {
		cookie := mustSeal(t, k, c, 1)
		for n := range len(cookie) {
			if _, err := k.Open(cookie[:n]); !errors.Is(err, ErrOpen) {
				t.Errorf("cut to %d of %d octets: %v", n, len(cookie), err)
			}
		}
		for i := range 8 * len(cookie) {
			cookie[i/8] ^= 1 << (i % 8)
			if _, err := k.Open(cookie); !errors.Is(err, ErrOpen) {
				t.Errorf("bit %d flipped: %v", i, err)
			}
			cookie[i/8] ^= 1 << (i % 8)
		}
		if _, err := mustKeyset(t, entropy(12)).Open(cookie); !errors.Is(err, ErrOpen) {
			t.Errorf("another server's cookie: %v", err)
		}
		// Extension fields are padded to a multiple of four octets.
		if got, err := k.Open(append(cookie, 0, 0, 0)); err != nil || !same(got, c) {
			t.Errorf("with padding: %v", err)
		}
	}
}

// Only we seal, but a file may come from another version of the daemon with
// other contents.
func TestOpenRefusesForeignContents(t *testing.T) {
	k := mustKeyset(t, entropy(13))
	nonce := make([]byte, NonceLen)
	for name, plaintext := range map[string][]byte{
		"nothing":              {},
		"half an algorithm":    {0},
		"no keys":              {0, 15},
		"keys too short":       append([]byte{0, 15}, make([]byte, 63)...),
		"keys too long":        append([]byte{0, 15}, make([]byte, 65)...),
		"an unknown algorithm": append([]byte{0, 30}, make([]byte, 32)...),
		"no algorithm":         {0, 0},
	} {
		sealed, err := k.keys[0].aead.Seal(nil, nonce, plaintext, nil)
		if err != nil {
			t.Fatal(err)
		}
		cookie := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, uint16(len(sealed)))
		cookie = append(append(cookie, nonce...), sealed...)
		if got, err := k.Open(cookie); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestContentsDoNotShareMemory(t *testing.T) {
	k := mustKeyset(t, entropy(14))
	cookie := mustSeal(t, k, contents256, 1)
	a, err := k.Open(cookie)
	if err != nil {
		t.Fatal(err)
	}
	clear(cookie)
	if !same(a, contents256) || cap(a.S2C) != len(a.S2C) {
		t.Error("the keys alias the cookie, or appending to one writes into the other")
	}
}

func TestCookieRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := entropy(rapid.Byte().Draw(t, "seed"))
		k, err := NewKeyset(r)
		if err != nil {
			t.Fatal(err)
		}
		k.offset = rapid.Uint32().Draw(t, "offset")
		a := rapid.SampledFrom([]aead.Algorithm{15, 17}).Draw(t, "algorithm")
		draw := rapid.SliceOfN(rapid.Byte(), a.KeyLen(), a.KeyLen())
		c := Contents{Algorithm: a, S2C: draw.Draw(t, "s2c"), C2S: draw.Draw(t, "c2s")}
		nonce := rapid.SliceOfN(rapid.Byte(), NonceLen, NonceLen).Draw(t, "nonce")
		cookie, err := k.Seal(nil, c, nonce)
		if err != nil || len(cookie) != Len(a) {
			t.Fatalf("%d octets, %v", len(cookie), err)
		}
		stale := rapid.IntRange(1, 4).Draw(t, "stale")
		for range stale {
			if k, err = k.Rotate(r, stale); err != nil {
				t.Fatal(err)
			}
		}
		restarted, _, err := Parse(k.Marshal(1)) // after a restart old cookies open
		if err != nil {
			t.Fatal(err)
		}
		if got, err := restarted.Open(cookie); err != nil || !same(got, c) {
			t.Fatalf("opened %v, %v", got, err)
		}
		if bytes.Contains(cookie, c.S2C) || bytes.Contains(cookie, c.C2S) {
			t.Fatal("a key stands in the cookie")
		}
	})
}

func TestPrintingHidesKeys(t *testing.T) {
	k := mustKeyset(t, bytes.NewReader(bytes.Repeat([]byte("k"), keyLen)))
	c := Contents{Algorithm: 15, S2C: bytes.Repeat([]byte("k"), 32), C2S: bytes.Repeat([]byte("k"), 32)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, secret := range []any{k, k.Newest(), c, &c} {
			if got := fmt.Sprintf(verb, secret); !strings.Contains(got, "<secret>") || strings.Contains(got, "kk") || strings.Contains(got, "107 107") || strings.Contains(got, "6b6b") {
				t.Errorf("%T prints %q with %s", secret, got, verb)
			}
		}
	}
}

func TestLenOfUnknownAlgorithm(t *testing.T) {
	for a, want := range map[aead.Algorithm]int{15: 104, 17: 168, 30: 0, 0: 0} {
		if got := Len(a); got != want {
			t.Errorf("a cookie of %v has %d octets, want %d", a, got, want)
		}
	}
}

// A process that only seals is handed one key, and seals as the set does, until
// it is told to forget the key.
func TestASealerTravelsAlone(t *testing.T) {
	r := entropy(1)
	k := mustRotate(t, mustKeyset(t, r), r, 7)
	b := k.MarshalNewest()
	if whole := k.Marshal(0); len(b) != 68 || !bytes.Equal(b[4:], whole[len(whole)-64:]) {
		t.Fatalf("%x is not the newest key", b)
	}
	s, err := ParseSealer(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b) // nothing is kept of it
	nonce := bytes.Repeat([]byte{7}, NonceLen)
	got, err := s.Seal(nil, contents256, nonce)
	if want := mustSeal(t, k, contents256, 7); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	s.Clear()
	if !reflect.DeepEqual(s.aead, new(aead.Key)) {
		t.Error("the key is still there")
	}
	Sealer{}.Clear() // has none
	for _, bad := range [][]byte{nil, make([]byte, 67), make([]byte, 68), make([]byte, 69), k.MarshalNewest()[1:]} {
		if _, err := ParseSealer(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
