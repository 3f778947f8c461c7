package proto

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// field encodes a field whose length field says length and whose value makes
// it n octets in all.
func field(t FieldType, length, n int) []byte {
	b := appendFieldHeader(nil, t, length)
	return append(b, bytes.Repeat([]byte{0xaa}, max(n-fieldHeaderLen, 0))...)
}

// "All extension fields are zero-padded to a word (four octets) boundary." "The
// Length field is a 16-bit unsigned integer that indicates the length of the
// entire extension field in octets, including the Padding field" (RFC 7822
// section 3, new section 7.5).
func TestFieldIsZeroPaddedToAWord(t *testing.T) {
	tests := []struct {
		value  string
		minLen int
		want   string
	}{
		{"", MinInnerFieldLen, "0104 0004"},
		{"", MinFieldLen, "0104 0010 000000000000000000000000"},
		{"a", MinInnerFieldLen, "0104 0008 61000000"},
		{"abcd", MinInnerFieldLen, "0104 0008 61626364"},
		{"abcde", MinInnerFieldLen, "0104 000c 6162636465000000"},
		{"abcdefghijkl", MinFieldLen, "0104 0010 6162636465666768696a6b6c"},
		{"abcdefghijklm", MinFieldLen, "0104 0014 6162636465666768696a6b6c6d000000"},
		{"ab", 17, "0104 0014 61620000000000000000000000000000"}, // an odd minimum is rounded too
	}
	for _, tt := range tests {
		got, err := AppendField([]byte("x"), FieldUniqueIdentifier, []byte(tt.value), tt.minLen)
		if want := append([]byte("x"), unhex(t, tt.want)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v, want %x", tt.value, got, err, want)
		}
	}
	// MinLastFieldLen pads across more than one run of zeros.
	got, err := AppendField(nil, FieldCookie, nil, MinLastFieldLen)
	if want := append([]byte{2, 4, 0, 28}, make([]byte, 24)...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
}

// "The maximum field length cannot be longer than 65532 octets" (RFC 7822
// section 3, new section 7.5).
func TestFieldIsAtMost65532Octets(t *testing.T) {
	b, err := AppendField(nil, FieldCookie, make([]byte, 65528), MinFieldLen)
	if err != nil || len(b) != 65532 || b[2] != 0xff || b[3] != 0xfc {
		t.Errorf("the longest field has %d octets, %v", len(b), err)
	}
	before := []byte("x")
	for _, n := range []int{65529, 65532, 65536, 1 << 17} {
		if b, err := AppendField(before, FieldCookie, make([]byte, n), MinFieldLen); !errors.Is(err, ErrField) || !bytes.Equal(b, before) {
			t.Errorf("a value of %d octets: %d octets, %v", n, len(b), err)
		}
	}
}

func TestNextFieldRefusesWrongLengths(t *testing.T) {
	for _, minLen := range []int{MinInnerFieldLen, MinFieldLen} {
		for length := range 80 {
			for n := range 64 {
				b := field(0x1234, length, n)[:n:n]
				if n < fieldHeaderLen {
					b = make([]byte, n)
				}
				legal := n >= fieldHeaderLen && length >= minLen && length%4 == 0 && length <= n
				f, rest, err := NextField(b, 7, minLen)
				switch {
				case legal && (err != nil || f.Type != 0x1234 || f.Offset != 7 || len(f.Value) != length-4 || len(rest) != n-length):
					t.Fatalf("length %d in %d octets: %+v, %d left, %v", length, n, f, len(rest), err)
				case !legal && !errors.Is(err, ErrField):
					t.Fatalf("length %d in %d octets, at least %d: %v", length, n, minLen, err)
				}
			}
		}
	}
	if _, _, err := NextField(field(1, 0xffff, 65536), 0, 4); !errors.Is(err, ErrField) {
		t.Errorf("length 65535: %v", err)
	}
}

// Appending to the value of a field must not write into the next.
func TestFieldValueHasNoSpareCapacity(t *testing.T) {
	b := slices.Concat(field(1, 16, 16), field(2, 16, 16))
	f, _, err := NextField(b, 0, MinFieldLen)
	if err != nil || cap(f.Value) != len(f.Value) {
		t.Errorf("%d octets with room for %d, %v", len(f.Value), cap(f.Value), err)
	}
}

func TestFieldsRoundTrip(t *testing.T) {
	type pair struct {
		t FieldType
		v []byte
	}
	rapid.Check(t, func(t *rapid.T) {
		minLen := rapid.SampledFrom([]int{MinInnerFieldLen, MinFieldLen}).Draw(t, "minLen")
		offset := rapid.IntRange(0, 100).Draw(t, "offset")
		var want []pair
		var b []byte
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			p := pair{FieldType(rapid.Uint16().Draw(t, "type")), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value")}
			var err error
			if b, err = AppendField(b, p.t, p.v, minLen); err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
		for range 2 { // the sequence can be walked twice
			i, at := 0, offset
			for f := range Fields(b, offset, minLen) {
				padded := append(slices.Clone(want[i].v), make([]byte, len(f.Value)-len(want[i].v))...)
				if f.Type != want[i].t || !bytes.Equal(f.Value, padded) || f.Offset != at {
					t.Fatalf("field %d: %+v, want %+v at %d", i, f, want[i], at)
				}
				i, at = i+1, at+fieldHeaderLen+len(f.Value)
			}
			if i != len(want) || at != offset+len(b) {
				t.Fatalf("%d of %d fields", i, len(want))
			}
		}
	})
}

func TestFieldsStopAtTheFirstMalformedOne(t *testing.T) {
	b := slices.Concat(field(1, 16, 16), field(2, 20, 20), field(3, 5, 8), field(4, 16, 16))
	var got []FieldType
	for f := range Fields(b, 0, MinInnerFieldLen) {
		got = append(got, f.Type)
	}
	if !slices.Equal(got, []FieldType{1, 2}) {
		t.Errorf("fields %v", got)
	}
	for f := range Fields(b, 0, MinInnerFieldLen) {
		if f.Type != 1 {
			t.Error("going on after break")
		}
		break
	}
}

// "Encrypted extension fields MAY be arbitrarily short (but still MUST be a
// multiple of 4 octets in length)" (RFC 8915 section 5.6).
func TestInnerFieldsMayBeShort(t *testing.T) {
	good := slices.Concat(field(1, 4, 4), field(2, 8, 8), field(3, 104, 104))
	if err := CheckInner(good); err != nil {
		t.Errorf("short fields: %v", err)
	}
	n, at := 0, 0
	for f := range Inner(good) {
		if n++; f.Type != FieldType(n) || f.Offset != at {
			t.Errorf("field %d at %d has type %d and offset %d", n, at, f.Type, f.Offset)
		}
		at += fieldHeaderLen + len(f.Value)
	}
	if n != 3 {
		t.Errorf("%d fields", n)
	}
	if err := CheckInner(nil); err != nil {
		t.Errorf("no fields: %v", err)
	}
	for _, bad := range [][]byte{
		{0}, make([]byte, 4), field(1, 0, 8), field(1, 6, 8), field(1, 8, 4),
		append(field(1, 8, 8), 0), append(field(1, 8, 8), field(1, 3, 4)...),
	} {
		if err := CheckInner(bad); !errors.Is(err, ErrField) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
