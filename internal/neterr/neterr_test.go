package neterr

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestCause(t *testing.T) {
	odd := errors.New("odd")
	wrapped := fmt.Errorf("twice: %w", odd)
	call := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for _, tt := range []struct{ err, want error }{
		{nil, nil},
		{odd, odd},
		{wrapped, wrapped},
		{call, syscall.ECONNREFUSED},
		{&net.OpError{Op: "dial", Err: call}, syscall.ECONNREFUSED},
		{fmt.Errorf("proxy: %w", &net.OpError{Op: "dial", Err: call}), syscall.ECONNREFUSED},
		{&net.OpError{Op: "read", Err: odd}, odd},
		{&net.OpError{Op: "read", Err: wrapped}, wrapped},
	} {
		if got := Cause(tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}
