package cookie

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// vectors reads testdata/ntpd-rs.txt: a name, then its octets.
func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/ntpd-rs.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		if strings.HasPrefix(stanza, "#") {
			continue
		}
		words := strings.Fields(stanza)
		if all[words[0]], err = hex.DecodeString(strings.Join(words[1:], "")); err != nil {
			t.Fatalf("%s: %v", words[0], err)
		}
	}
	return all
}

func mustParse(t testing.TB, file []byte) (*Keyset, int64) {
	t.Helper()
	k, saved, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return k, saved
}

// count is n octets that count up from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

var (
	contents256 = Contents{Algorithm: aead.AESSIVCMAC256, S2C: count(0, 32), C2S: count(32, 32)}
	contents512 = Contents{Algorithm: aead.AESSIVCMAC512, S2C: count(0, 64), C2S: count(64, 64)}
)

func same(a, b Contents) bool {
	return a.Algorithm == b.Algorithm && bytes.Equal(a.S2C, b.S2C) && bytes.Equal(a.C2S, b.C2S)
}

// A server that changes from ntpd-rs to us opens the cookies its clients hold,
// and one that changes back keeps its file and its clients too.
func TestKeyFileOfNtpdRs(t *testing.T) {
	v := vectors(t)
	for _, name := range []string{"first-file", "second-file"} {
		k, saved := mustParse(t, v[name])
		if got := k.Marshal(saved); !bytes.Equal(got, v[name]) {
			t.Errorf("%s came back as\n%x", name, got)
		}
		if k.Len() != 3 || saved != 1795232797 {
			t.Errorf("%s: %d keys, written at %d", name, k.Len(), saved)
		}
	}
}

func TestCookiesOfNtpdRsOpenAndAreSealedAlike(t *testing.T) {
	v := vectors(t)
	tests := []struct {
		file, cookie string
		want         Contents
	}{
		{"first-file", "first-cookie", contents256},
		{"first-file", "first-cookie-512", contents512},
		{"second-file", "second-cookie", contents256},
		{"second-file", "first-cookie", contents256}, // after a rotation
	}
	for i, tt := range tests {
		k, _ := mustParse(t, v[tt.file])
		cookie := v[tt.cookie]
		got, err := k.Open(cookie)
		if err != nil || !same(got, tt.want) {
			t.Errorf("%s under %s: %v", tt.cookie, tt.file, err)
		}
		if len(cookie) != Len(tt.want.Algorithm) {
			t.Errorf("%s has %d octets, Len says %d", tt.cookie, len(cookie), Len(tt.want.Algorithm))
		}
		if i == len(tests)-1 {
			continue // sealed by a key that no longer seals
		}
		// AES-SIV is deterministic: with its nonce we make the same cookie.
		again, err := k.Seal(nil, tt.want, cookie[6:22])
		if err != nil || !bytes.Equal(again, cookie) {
			t.Errorf("%s sealed again is\n%x, %v", tt.cookie, again, err)
		}
	}
	k, _ := mustParse(t, v["first-file"])
	if _, err := k.Open(v["second-cookie"]); !errors.Is(err, ErrOpen) {
		t.Errorf("a cookie of the next key: %v", err)
	}
}

// Our rotation keeps and numbers the keys as ntpd-rs' does.
func TestRotationIsThatOfNtpdRs(t *testing.T) {
	v := vectors(t)
	first, _ := mustParse(t, v["first-file"])
	fresh := v["second-file"][len(v["second-file"])-keyLen:]
	second, err := first.Rotate(bytes.NewReader(fresh), 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Marshal(1795232797); !bytes.Equal(got, v["second-file"]) {
		t.Errorf("rotated to\n%x, want\n%x", got, v["second-file"])
	}
}
