package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ListenError explains why an address cannot be listened on, with the exit
// code for it. where is the place in the configuration that asks for it, what
// would listen there.
func ListenError(where, what string, addr netip.AddrPort, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	}
	code, hint := Software, ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program has this port: stop it, or choose another address"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		code, hint = NoPermission, "start as root or with the capability CAP_NET_BIND_SERVICE, or listen on a port from 1024 on"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "no interface has this address: use one that this machine has"
	}
	err = fmt.Errorf("%s: could not listen for %s on %v: %w", where, what, addr, err)
	if hint != "" {
		err = fmt.Errorf("%w; %s", err, hint)
	}
	return Exit(code, err)
}
