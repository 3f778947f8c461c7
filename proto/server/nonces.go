package server

import (
	"io"

	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// nonces hands out random octets. It reads ahead, because asking the system for
// a few octets may cost as much as for many; nonces are no secrets.
type nonces struct {
	entropy io.Reader
	buffer  [4 * cookie.NonceLen * (maxCookies + 1)]byte
	left    int // at the end of buffer
}

// take returns n octets that were never returned before, at most as many as the
// buffer holds. They are valid until the next call. It fails when entropy does.
func (r *nonces) take(n int) ([]byte, bool) {
	if r.left < n {
		r.left = 0
		if _, err := io.ReadFull(r.entropy, r.buffer[:]); err != nil {
			return nil, false
		}
		r.left = len(r.buffer)
	}
	out := r.buffer[len(r.buffer)-r.left:][:n]
	r.left -= n
	return out, true
}
