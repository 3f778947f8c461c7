package cookie

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFileLayout(t *testing.T) {
	k := mustKeyset(t, bytes.NewReader(count(1, keyLen)))
	k.offset = 0x01020304
	want := slices.Concat(
		[]byte{0, 0, 0, 0, 0x65, 0x53, 0xf1, 0}, // 1700000000
		[]byte{1, 2, 3, 4},                      // identifier offset
		[]byte{0, 0, 0, 0},                      // index of the key that seals
		[]byte{0, 0, 0, 1},                      // number of keys
		count(1, keyLen),
	)
	if got := k.Marshal(1700000000); !bytes.Equal(got, want) {
		t.Errorf("marshals to %x, want %x", got, want)
	}
}

func TestSavedTimeIsWithinBounds(t *testing.T) {
	if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix(); maxSaved != last {
		t.Errorf("the last second is %d, want %d", int64(maxSaved), last)
	}
	k := mustKeyset(t, entropy(20))
	for now, want := range map[int64]int64{
		math.MinInt64: 0, -1: 0, 0: 0, 1: 1, maxSaved: maxSaved, maxSaved + 1: maxSaved, math.MaxInt64: maxSaved,
	} {
		if _, saved := mustParse(t, k.Marshal(now)); saved != want {
			t.Errorf("saved at %d came back as %d", now, saved)
		}
	}
}

// ntpd-rs checks only that primary ≤ n, so a file that is something else, or
// that was cut off, can crash it or be taken for keys. Ours refuses it, and
// then nobody overwrites what lies there.
func TestParseRefusesWhatIsNoKeyFile(t *testing.T) {
	r := entropy(21)
	k := mustRotate(t, mustKeyset(t, r), r, 3)
	good := k.Marshal(1700000000)
	with := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		binary.BigEndian.PutUint32(b[at:], v)
		return b
	}
	zeroed := slices.Clone(good)
	clear(zeroed[fileHeaderLen+keyLen:])
	tests := map[string][]byte{
		"nothing":                   nil,
		"a header cut off":          good[:fileHeaderLen-1],
		"a header alone":            good[:fileHeaderLen],
		"a key cut off":             good[:len(good)-1],
		"an octet more":             append(slices.Clone(good), 0),
		"a key more":                append(slices.Clone(good), count(1, keyLen)...),
		"a line of text":            append(slices.Clone(good), '\n'),
		"no keys":                   with(16, 0),
		"one key said, two there":   with(16, 1),
		"three keys said":           with(16, 3),
		"more keys than memory":     with(16, math.MaxUint32),
		"2^26 keys, 0 modulo 2^32":  with(16, 1<<26),
		"a key that seals too many": with(12, 2),
		"no key that seals":         with(12, math.MaxUint32),
		"a time after 9999":         with(0, 1<<31),
		"one second after 9999":     slices.Concat(binary.BigEndian.AppendUint64(nil, maxSaved+1), good[8:]),
		"zeros":                     make([]byte, len(good)),
		"a key of zeros":            zeroed,
		"a certificate":             []byte("-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQm9ndXMgY2VydGlmaWNhdGU\n-----END CERTIFICATE-----\n"),
	}
	for name, file := range tests {
		if k, saved, err := Parse(file); !errors.Is(err, ErrFile) || k != nil || saved != 0 {
			t.Errorf("%s: %v, %d, %v", name, k, saved, err)
		}
	}
	many := slices.Concat(good[:16], []byte{0, 0, 0x10, 1}, bytes.Repeat(count(1, keyLen), MaxKeys+1))
	if _, _, err := Parse(many); !errors.Is(err, ErrFile) {
		t.Errorf("%d keys: %v", MaxKeys+1, err)
	}
}

func TestFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := entropy(rapid.Byte().Draw(t, "seed"))
		k, err := NewKeyset(r)
		if err != nil {
			t.Fatal(err)
		}
		stale := rapid.IntRange(0, 4).Draw(t, "stale")
		for range rapid.IntRange(0, 6).Draw(t, "rotations") {
			if k, err = k.Rotate(r, stale); err != nil {
				t.Fatal(err)
			}
		}
		k.offset = rapid.Uint32().Draw(t, "offset")
		k.primary = rapid.Uint32Range(0, uint32(k.Len()-1)).Draw(t, "primary")
		now := rapid.Int64Range(0, maxSaved).Draw(t, "now")
		file := k.Marshal(now)
		again, saved, err := Parse(file)
		if err != nil || saved != now || !bytes.Equal(again.Marshal(now), file) {
			t.Fatalf("saved %d, %v", saved, err)
		}
		nonce := make([]byte, NonceLen)
		a, errA := k.Seal(nil, contents256, nonce)
		b, errB := again.Seal(nil, contents256, nonce)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("%x, %v, and after parsing %x, %v", a, errA, b, errB)
		}
	})
}

// Whatever number of octets is there: only as many as the keys take are a file.
func TestAFileOfAnyOtherLengthIsRefused(t *testing.T) {
	r := entropy(22)
	good := mustRotate(t, mustKeyset(t, r), r, 2).Marshal(1700000000)
	long := append(slices.Clone(good), count(1, 2*keyLen)...)
	for n := range long {
		if _, _, err := Parse(long[:n]); (err == nil) != (n == len(good)) {
			t.Errorf("%d octets of %d: %v", n, len(good), err)
		}
	}
}
