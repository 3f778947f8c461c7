package server

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// No octet is handed out twice, whatever is asked for, and all are the source's.
func TestNoncesAreHandedOutOnce(t *testing.T) {
	source := new(bytes.Buffer)
	r := nonces{entropy: io.TeeReader(seeded(5), source)}
	seen, last := map[string]bool{}, 0
	for i := range 500 {
		n := 16 * (2 + i%8)
		b, ok := r.take(n)
		if !ok || len(b) != n {
			t.Fatalf("%d octets, %v", len(b), ok)
		}
		at := bytes.Index(source.Bytes()[last:], b)
		if at < 0 {
			t.Fatalf("call %d: %x is not the next of the source's", i, b)
		}
		last += at + n
		for ; len(b) > 0; b = b[16:] {
			if seen[string(b[:16])] {
				t.Fatalf("call %d: %x again", i, b[:16])
			}
			seen[string(b[:16])] = true
		}
	}
}

// A source that fails gives nothing, not what is left in the buffer; when it
// works again there are nonces again.
func TestNoncesFailWithTheirSource(t *testing.T) {
	var r nonces
	good := seeded(6)
	r.entropy = io.MultiReader(io.LimitReader(good, int64(len(r.buffer))+7), iotest.ErrReader(errors.New("broken")))
	for left := len(r.buffer); left >= 128; left -= 96 {
		if _, ok := r.take(96); !ok {
			t.Fatal("no octets while the source works")
		}
	}
	for _, n := range []int{128, 16, 128} { // of which 96 octets were left before
		if b, ok := r.take(n); ok || b != nil {
			t.Fatalf("%x out of a source that fails", b)
		}
	}
	r.entropy = good
	if _, ok := r.take(144); !ok {
		t.Error("no octets from a source that works again")
	}
}
