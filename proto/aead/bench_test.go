package aead

import (
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A request is opened, and a response with one cookie is sealed.
func BenchmarkField(b *testing.B) {
	nonce := make([]byte, 16)
	for _, a := range algorithms {
		c := mustNew(b, a, key(a))
		before := header(b, proto.ModeClient)
		packet, err := AppendField(before[:len(before):len(before)], c, nonce, nil)
		if err != nil {
			b.Fatal(err)
		}
		f := authenticator(b, packet)
		b.Run(a.String()+"/open", func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, 256)
			for b.Loop() {
				if _, err := OpenField(buffer, packet, f, c); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(a.String()+"/append", func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, 512)
			plaintext := make([]byte, 108)
			for b.Loop() {
				buffer = append(buffer[:0], before...)
				if _, err := AppendField(buffer, c, nonce, plaintext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	k := key(AESSIVCMAC256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(AESSIVCMAC256, k); err != nil {
			b.Fatal(err)
		}
	}
}
