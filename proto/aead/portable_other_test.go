//go:build !amd64 || purego

package aead

import "testing"

func portable(*testing.T) {}
