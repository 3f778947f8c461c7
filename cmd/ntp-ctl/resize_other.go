//go:build !unix

package main

import "os"

// onResize does nothing: this system does not tell.
func onResize(chan<- os.Signal) {}
