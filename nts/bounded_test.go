package nts

import (
	"strings"
	"testing"
)

// TestErrorsAreShort puts the longest body that fits into every record: what a
// stranger sends goes to the log, but not at this length.
func TestErrorsAreShort(t *testing.T) {
	const longest = 400 // 64 octets, quoted, and words
	var kinds []uint16
	for kind := range uint16(16) {
		kinds = append(kinds, kind, 0x4000+kind, 1020+kind)
	}
	for _, critical := range []bool{false, true} {
		for _, kind := range kinds {
			r := Record{Type: kind, Critical: critical, Body: []byte(strings.Repeat("\x1b", MaxResponse-2*HeaderLen))}
			msg, err := AppendMessage(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			for name, decode := range map[string]func([]byte) error{
				"response":  func(m []byte) error { _, err := DecodeResponse(m); return err },
				"supported": func(m []byte) error { _, err := DecodeSupported(m); return err },
				"names":     func(m []byte) error { _, err := DecodeNames(m); return err },
				"request": func(m []byte) error {
					_, err := DecodeRequest(m, func(Secret) bool { return true })
					return err
				},
			} {
				if err := decode(msg); err != nil && (len(err.Error()) > longest || strings.Contains(err.Error(), "\x1b")) {
					t.Errorf("%s with record %d: %d octets: %.80q", name, kind, len(err.Error()), err)
				}
			}
		}
	}
}
