package netio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// ErrNotSupported is a wish that this build cannot fulfil.
var ErrNotSupported = errors.New("not supported")

// A remedy says what an error of the network is and what to do about it.
type remedy struct {
	errno syscall.Errno
	class engine.Class
	hint  string
}

var remedies = []remedy{
	{syscall.ECONNREFUSED, engine.ClassRefused, "nothing listens there"},
	{syscall.ENETUNREACH, engine.ClassNetwork, "check the network connection and the routes"},
	{syscall.EHOSTUNREACH, engine.ClassNetwork, "check the network connection and the routes"},
	{syscall.ENETDOWN, engine.ClassNetwork, "the interface is down"},
	{syscall.EHOSTDOWN, engine.ClassNetwork, "the host is down"},
	{syscall.EADDRNOTAVAIL, engine.ClassNetwork, "no address of this machine can reach it"},
	{syscall.ENODEV, engine.ClassNetwork, "there is no such interface"},
	{syscall.EPERM, engine.ClassNetwork, "a local firewall or policy forbids it"},
	{syscall.EACCES, engine.ClassNetwork, "a local firewall or policy forbids it"},
	{syscall.ENOBUFS, engine.ClassNetwork, "the interface's queue is full"},
	{syscall.EMFILE, engine.ClassOther, "too many open files: raise the limit"},
	{syscall.ENFILE, engine.ClassOther, "too many open files on this machine"},
}

// Failure classifies an error of this package and adds what to do about it.
func Failure(err error) engine.Failure {
	if err == nil {
		return engine.Failure{}
	}
	class, hint := classify(err)
	if hint == "" {
		return engine.Failure{Class: class, Text: err.Error()}
	}
	return engine.Failure{Class: class, Text: err.Error() + " (" + hint + ")"}
}

func classify(err error) (engine.Class, string) {
	var name *LookupError
	var errno syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, ErrNotSupported):
		return engine.ClassNotSupported, ""
	case errors.As(err, &name):
		return engine.ClassDNS, ""
	case errors.Is(err, ErrNoRoute):
		return engine.ClassNetwork, "check the network connection and the routes"
	case errors.As(err, &errno):
		if i := slices.IndexFunc(remedies, func(r remedy) bool { return r.errno == errno }); i >= 0 {
			return remedies[i].class, remedies[i].hint
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return engine.ClassTimeout, ""
	}
	return engine.ClassOther, ""
}

// answerError is what the network answered to a request.
func answerError(to netip.AddrPort, err error) error {
	return fmt.Errorf("no answer from %v: %w", to, neterr.Cause(err))
}
