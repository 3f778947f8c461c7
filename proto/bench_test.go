package proto

import "testing"

// ntsRequest is a client's request with a cookie of 104 octets.
func ntsRequest(b *testing.B) []byte {
	b.Helper()
	auth, err := AppendAuthenticator(nil, make([]byte, 16), make([]byte, 16), 0)
	if err != nil {
		b.Fatal(err)
	}
	return packet(4, field(FieldUniqueIdentifier, 36, 36), field(FieldCookie, 108, 108), auth)
}

func BenchmarkParsePacket(b *testing.B) {
	for name, datagram := range map[string][]byte{
		"plain": packet(4), "mac": packet(4, make([]byte, 20)), "nts": ntsRequest(b), "garbage": packet(4, make([]byte, 40)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := ParsePacket(datagram)
				if (err != nil) != (name == "garbage") {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFields(b *testing.B) {
	p, err := ParsePacket(ntsRequest(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for f := range p.All() {
			n += len(f.Value)
		}
		if n == 0 {
			b.Fatal("no fields")
		}
	}
}

func BenchmarkHeaderAppend(b *testing.B) {
	h := Header{Version: 4, Mode: ModeServer, Transmit: 1}
	buffer := make([]byte, 0, HeaderLen)
	b.ReportAllocs()
	for b.Loop() {
		buffer = h.Append(buffer[:0])
	}
}

func BenchmarkScaleTime(b *testing.B) {
	s := Scale{Raw: 1e15, At: 0xe0000000 << 32, Rate: Rate(30e-6)}
	r, sum := s.Raw, Timestamp(0)
	b.ReportAllocs()
	for b.Loop() {
		r += 1000
		sum += s.Time(r)
	}
	_ = sum
}

func BenchmarkFromUnix(b *testing.B) {
	nsec, sum := int64(0), Timestamp(0)
	b.ReportAllocs()
	for b.Loop() {
		nsec++
		sum += FromUnix(1700000000, nsec)
	}
	_ = sum
}
