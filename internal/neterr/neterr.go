// Package neterr makes errors of package net fit to stand in messages that
// name the operation and the address themselves.
package neterr

import (
	"errors"
	"net"
	"os"
)

// Cause drops the layers that package net and package os put around an error
// of the system. Other errors, and nil, stay as they are.
func Cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}
