package cookie

import "testing"

func BenchmarkSeal(b *testing.B) {
	k, nonce := mustKeyset(b, entropy(1)), make([]byte, NonceLen)
	buffer := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Seal(buffer, contents256, nonce); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := mustKeyset(b, entropy(1))
	cookie := mustSeal(b, k, contents256, 1)
	forged := append([]byte(nil), cookie...)
	forged[len(forged)-1] ^= 1
	for name, c := range map[string][]byte{"ours": cookie, "forged": forged, "unknown key": {0xff, 22: 0}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(c); (err == nil) != (name == "ours") {
					b.Fatal(err)
				}
			}
		})
	}
}
