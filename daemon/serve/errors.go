package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// Errors that a caller tells apart.
var (
	// ErrInUse: something else serves on the address and port.
	ErrInUse = errors.New("address already in use")
	// ErrPermission: the port is reserved for root.
	ErrPermission = errors.New("permission denied")
	// ErrAbsent: no interface has the address. It is waited for.
	ErrAbsent = errors.New("no interface has the address")
)

// ListenError says why an address is not served, and what to do about it.
type ListenError struct {
	Listen netip.AddrPort
	Where  string // the line of the configuration that asks for it
	Reason error  // ErrInUse, ErrPermission, ErrAbsent, or the system's error
	Hint   string
}

// Error is one line: what failed, where it is configured, and the remedy.
func (e *ListenError) Error() string {
	s := fmt.Sprintf("could not serve NTP on %v: %v", e.Listen, e.Reason)
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap gives the reason.
func (e *ListenError) Unwrap() error { return e.Reason }

// listenError explains an error of netio.OpenServer.
func listenError(s *Section, err error) *ListenError {
	e := &ListenError{Listen: s.Listen, Where: s.Where, Reason: err}
	port := s.Listen.Port()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Reason = ErrInUse
		e.Hint = fmt.Sprintf("find who has it with \"ss -ulpn sport = :%d\" and stop it, or listen on another port", port)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		e.Reason = ErrPermission
		e.Hint = "start as root or with the capability CAP_NET_BIND_SERVICE, or listen on a port from 1024 on"
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENODEV):
		e.Reason = ErrAbsent
	case errors.Is(err, syscall.EAFNOSUPPORT):
		e.Hint = "this machine has IPv6 switched off: listen on an IPv4 address"
	}
	return e
}
