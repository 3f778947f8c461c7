//go:build !linux

package main

import "errors"

// quietKeys leaves the terminal alone: Ctrl-C ends a watch.
func quietKeys(int) (func(), error) { return nil, errors.ErrUnsupported }
