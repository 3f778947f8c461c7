//go:build amd64 && !purego

package aead

import "testing"

// portable makes keys that are set from now on, until the test ends, use
// crypto/aes.
func portable(t *testing.T) {
	accelerated = false
	t.Cleanup(func() { accelerated = true })
}
