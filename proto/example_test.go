package proto_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A client's request, and what a server makes of it.
func ExampleParsePacket() {
	h := proto.Header{Version: 4, Mode: proto.ModeClient, Transmit: 0x0123456789abcdef}
	datagram, err := proto.AppendField(h.Append(nil), proto.FieldUniqueIdentifier, make([]byte, proto.UniqueIDLen), proto.MinFieldLen)
	if err != nil {
		fmt.Println(err)
		return
	}

	p, err := proto.ParsePacket(datagram)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("version", p.Version, "mode", p.Mode, "transmit", p.Transmit)
	for f := range p.All() {
		fmt.Printf("field %#04x at %d with %d octets\n", uint16(f.Type), f.Offset, len(f.Value))
	}
	// Output:
	// version 4 mode 3 transmit 01234567.89abcdef
	// field 0x0104 at 48 with 32 octets
}

// A kiss-o'-death comes at stratum 0.
func ExampleHeader_Kiss() {
	datagram, err := hex.DecodeString("240006e9" + "00000000" + "00000000" + "52415445" +
		"0000000000000000" + "0123456789abcdef" + "0000000000000000" + "0000000000000000")
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := proto.ParseHeader(datagram)
	if err != nil {
		fmt.Println(err)
		return
	}
	code, kiss := h.Kiss()
	fmt.Println(code, kiss, code == proto.KissRate)
	// Output: RATE true true
}

// Differences do not notice that the seconds roll over in 2036; a conversion
// to the calendar needs to know roughly when it is.
func ExampleTimestamp() {
	before := proto.FromTime(time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC))
	after := before.Add(2 * proto.Second)
	fmt.Println(before, after, after.Sub(before))
	fmt.Println(after.TimeNear(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)).Format(time.RFC3339))
	// Output:
	// ffffffff.00000000 00000001.00000000 +2.000000s
	// 2036-02-07T06:28:17Z
}

// A segment of a disciplined clock, 100 ppm fast: ten seconds of the
// free-running clock are a millisecond more.
func ExampleScale() {
	start := proto.FromUnix(1700000000, 0)
	s := proto.Scale{Raw: 5e9, At: start, Rate: proto.Rate(100e-6)}
	fmt.Println(s.Time(15e9).Sub(start))
	fmt.Println(s.Time(5e9).Sub(start))
	// Output:
	// +10.001000s
	// +0.000000s
}

func ExampleRefID() {
	fmt.Println(proto.RefIDText("GPS"))
	fmt.Println(proto.RefIDAddr(netip.MustParseAddr("192.0.2.1")))
	// Output:
	// GPS
	// 192.0.2.1
}
