package aead

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A packet sealed under a key opens to what was sealed; with any one bit of it
// flipped it does not open, unless the bit lies in padding, which nobody reads.
func FuzzSealedPacket(f *testing.F) {
	f.Add([]byte("nonce of sixteen"), []byte{1, 2, 0, 4}, false, uint16(3))
	f.Add([]byte{1}, []byte{}, true, uint16(600))
	f.Fuzz(func(t *testing.T, nonce, plaintext []byte, server bool, flip uint16) {
		mode := proto.ModeClient
		if server {
			mode = proto.ModeServer
		}
		c := mustNew(t, AESSIVCMAC256, key(AESSIVCMAC256))
		packet, err := AppendField(header(t, mode), c, nonce, plaintext)
		if err != nil {
			if len(nonce) > 0 && len(nonce)+len(plaintext) < 65000 {
				t.Fatal(err)
			}
			return
		}
		f := authenticator(t, packet)
		if got, err := OpenField(nil, packet, f, c); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("opened %x, %v", got, err)
		}
		i := int(flip) % (8 * len(packet))
		packet[i/8] ^= 1 << (i % 8)
		if isPadding(i/8-f.Offset-8, len(nonce), len(plaintext)+c.Overhead()) {
			return
		}
		p, err := proto.ParsePacket(packet)
		if err != nil {
			return
		}
		for f := range p.All() {
			if f.Type != proto.FieldAuthenticator {
				continue
			}
			if got, err := OpenField(nil, packet, f, c); err == nil {
				t.Fatalf("bit %d flipped opens to %x", i, got)
			}
		}
	})
}

// isPadding reports whether octet i behind the lengths of an authenticator is
// neither nonce nor ciphertext.
func isPadding(i, nonce, text int) bool {
	start := proto.NoncePadding(nonce)
	return i >= nonce && i < start || i >= start+text
}

// No packet from outside opens, and none is a crash.
func FuzzOpenField(f *testing.F) {
	sealed, err := AppendField(header(f, proto.ModeClient), mustNew(f, AESSIVCMAC256, make([]byte, 32)), []byte("nonce"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, packet []byte) {
		p, err := proto.ParsePacket(packet)
		if err != nil {
			return
		}
		before := slices.Clone(packet)
		c := mustNew(t, AESSIVCMAC512, key(AESSIVCMAC512)) // not the key of the seed
		for f := range p.All() {
			got, err := OpenField(nil, packet, f, c)
			if err == nil || got != nil {
				t.Fatalf("opened %x, %v", got, err)
			}
			if f.Type != proto.FieldAuthenticator && !errors.Is(err, proto.ErrField) && !errors.Is(err, ErrMode) {
				t.Fatalf("field %#04x: %v", uint16(f.Type), err)
			}
		}
		if !bytes.Equal(packet, before) {
			t.Fatal("the packet was changed")
		}
	})
}
