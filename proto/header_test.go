package proto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every field has a value of its own here, so none can take another's place.
func TestHeaderLayout(t *testing.T) { // RFC 5905 figure 8
	octets := unhex(t, `
		e3 01 06 e9
		00010203
		04050607
		47505300
		1011121314151617
		2021222324252627
		3031323334353637
		4041424344454647`)
	want := Header{
		Leap: LeapUnsynchronised, Version: 4, Mode: ModeClient,
		Stratum: 1, Poll: 6, Precision: -23,
		RootDelay: 0x00010203, RootDispersion: 0x04050607,
		RefID:     RefIDText("GPS"),
		Reference: 0x1011121314151617,
		Origin:    0x2021222324252627,
		Receive:   0x3031323334353637,
		Transmit:  0x4041424344454647,
	}
	got, err := ParseHeader(octets)
	if err != nil || got != want {
		t.Errorf("parsed %+v, %v, want %+v", got, err, want)
	}
	if back := want.Append(nil); !bytes.Equal(back, octets) {
		t.Errorf("encoded %x, want %x", back, octets)
	}
}

func TestHeaderFirstOctet(t *testing.T) {
	tests := []struct {
		octet   byte
		leap    Leap
		version uint8
		mode    Mode
	}{
		{0x00, LeapNone, 0, 0},
		{0x23, LeapNone, 4, ModeClient},
		{0x1c, LeapNone, 3, ModeServer},
		{0x64, LeapInsert, 4, ModeServer},
		{0xa4, LeapDelete, 4, ModeServer},
		{0xff, LeapUnsynchronised, 7, ModePrivate},
	}
	for _, tt := range tests {
		h, err := ParseHeader(append([]byte{tt.octet}, make([]byte, HeaderLen-1)...))
		if err != nil || h.Leap != tt.leap || h.Version != tt.version || h.Mode != tt.mode {
			t.Errorf("%#02x: leap %v, version %d, mode %d, %v", tt.octet, h.Leap, h.Version, h.Mode, err)
		}
	}
	wide := Header{Leap: 0xfd, Version: 0xfc, Mode: 0xfb} // cut to 1, 4, 3
	if got := wide.Append(nil)[0]; got != 0x63 {
		t.Errorf("values too wide for their bits gave %#02x", got)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { // every 48 octets are a header
		octets := rapid.SliceOfN(rapid.Byte(), HeaderLen, HeaderLen).Draw(t, "octets")
		h, err := ParseHeader(octets)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Append([]byte("x")); got[0] != 'x' || !bytes.Equal(got[1:], octets) {
			t.Fatalf("%x became %x", octets, got)
		}
	})
}

func TestShortDatagramIsNoHeader(t *testing.T) {
	for n := range HeaderLen {
		if _, err := ParseHeader(make([]byte, n)); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// "If the Stratum field is 0, which implies unspecified or invalid, the
// Reference Identifier field can be used to convey messages" (RFC 5905
// section 7.4).
func TestKissCodeNeedsStratumZero(t *testing.T) {
	h := Header{RefID: KissRate}
	if code, ok := h.Kiss(); !ok || code != KissRate {
		t.Errorf("stratum 0: %v, %v", code, ok)
	}
	h.Stratum = 1
	if _, ok := h.Kiss(); ok {
		t.Error("stratum 1 is no kiss")
	}
}

func TestKissCodesAreText(t *testing.T) {
	for code, want := range map[RefID]string{KissDeny: "DENY", KissRstr: "RSTR", KissRate: "RATE", KissNTSN: "NTSN"} {
		if got, ok := code.Text(); !ok || got != want || RefIDText(want) != code {
			t.Errorf("%#08x is %q, want %q", uint32(code), got, want)
		}
	}
}

func TestLeapAndStampNames(t *testing.T) {
	for l, want := range map[Leap]string{
		LeapNone: "none", LeapInsert: "insert second", LeapDelete: "delete second", LeapUnsynchronised: "unsynchronised",
	} {
		if l.String() != want {
			t.Errorf("%d prints %q", uint8(l), l)
		}
	}
	for s, want := range map[StampSource]string{
		StampNone: "none", StampDaemon: "daemon", StampKernel: "kernel", StampHardware: "hardware", 9: "invalid",
	} {
		if s.String() != want {
			t.Errorf("%d prints %q", uint8(s), s)
		}
	}
}
