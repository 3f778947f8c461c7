package proto

import (
	"bytes"
	"slices"
	"testing"
)

// Whatever parses is the sum of its parts, and each part keeps the lengths of
// RFC 7822 section 3; nothing is read twice or left out.
func FuzzParsePacket(f *testing.F) {
	f.Add(packet(4, field(1, 16, 16), field(2, 28, 28)))
	f.Add(packet(4, field(1, 16, 16), make([]byte, 20)))
	f.Add(packet(3, make([]byte, 12)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		p, err := ParsePacket(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram was changed")
		}
		if err != nil {
			if err != ErrShort && err != ErrField && err != ErrMAC {
				t.Fatalf("error %v", err)
			}
			if len(b) == HeaderLen || (err == ErrShort) != (len(b) < HeaderLen) {
				t.Fatalf("%d octets: %v", len(b), err)
			}
			return
		}
		if again := slices.Concat(p.Header.Append(nil), p.Fields, p.MAC); !bytes.Equal(again, b) {
			t.Fatalf("the parts make %x", again)
		}
		if p.Version < 4 && len(p.Fields) != 0 {
			t.Fatalf("%d octets of fields in version %d", len(p.Fields), p.Version)
		}
		if n := len(p.MAC); n != 0 && n != 4 && n != 20 && n != 24 && (n != 12 || p.Version >= 4) {
			t.Fatalf("a MAC of %d octets in version %d", n, p.Version)
		}
		at, last, sealed := HeaderLen, 0, false
		for f := range p.All() {
			last = fieldHeaderLen + len(f.Value)
			if f.Offset != at || last < MinFieldLen || last%4 != 0 {
				t.Fatalf("a field of %d octets at %d, expected at %d", last, f.Offset, at)
			}
			sealed = sealed || f.Type == FieldAuthenticator
			at += last
		}
		if at != HeaderLen+len(p.Fields) {
			t.Fatalf("fields end at %d of %d", at, HeaderLen+len(p.Fields))
		}
		if last != 0 && !sealed && len(p.MAC) == 0 && last < MinLastFieldLen {
			t.Fatalf("a last field of %d octets without a MAC", last)
		}
		if sealed && len(p.MAC) != 0 {
			t.Fatal("a MAC behind the authenticator")
		}
	})
}

// What Fields yields, encoded again, is what it was given, up to the first
// malformed field; CheckInner says whether there is one.
func FuzzFields(f *testing.F) {
	f.Add(slices.Concat(field(1, 4, 4), field(2, 16, 16), field(3, 28, 28)), false)
	f.Add(slices.Concat(field(1, 16, 16), field(2, 17, 20)), true)
	f.Fuzz(func(t *testing.T, b []byte, outer bool) {
		minLen := MinInnerFieldLen
		if outer {
			minLen = MinFieldLen
		}
		var again []byte
		for f := range Fields(b, 100, minLen) {
			if f.Offset != 100+len(again) {
				t.Fatalf("offset %d, want %d", f.Offset, 100+len(again))
			}
			var err error
			if again, err = AppendField(again, f.Type, f.Value, minLen); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("%x became %x", b, again)
		}
		if _, _, err := NextField(b[len(again):], 0, minLen); err == nil {
			t.Fatal("the walk stopped early")
		}
		if whole := len(again) == len(b); !outer && whole != (CheckInner(b) == nil) {
			t.Fatalf("CheckInner says %v of %x", CheckInner(b), b)
		}
	})
}

// The parts of an authenticator lie within it, one behind the other, and
// encoding them gives the same lengths back.
func FuzzAuthenticator(f *testing.F) {
	seed, err := AppendAuthenticator(nil, make([]byte, 5), make([]byte, 17), 8)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed[fieldHeaderLen:])
	f.Fuzz(func(t *testing.T, value []byte) {
		nonce, text, padding, err := ParseAuthenticator(value)
		if err != nil {
			if err != ErrField {
				t.Fatalf("error %v", err)
			}
			return
		}
		end := 4 + NoncePadding(len(nonce)) + pad4(len(text))
		if padding < 0 || end+padding != len(value) {
			t.Fatalf("nonce %d, ciphertext %d, padding %d of %d", len(nonce), len(text), padding, len(value))
		}
		if !bytes.Equal(value[4:4+len(nonce)], nonce) || !bytes.Equal(value[4+NoncePadding(len(nonce)):][:len(text)], text) {
			t.Fatalf("nonce %x and ciphertext %x out of %x", nonce, text, value)
		}
		b, err := AppendAuthenticator(nil, nonce, text, padding&^3)
		if err != nil { // a value longer than a field can be
			if len(value) <= maxFieldLen-fieldHeaderLen {
				t.Fatal(err)
			}
			return
		}
		n, c, _, err := ParseAuthenticator(b[fieldHeaderLen:])
		if err != nil || !bytes.Equal(n, nonce) || !bytes.Equal(c, text) {
			t.Fatalf("%x, %x, %v", n, c, err)
		}
	})
}
