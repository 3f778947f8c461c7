//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onResize sends to a channel when the terminal changes its size.
func onResize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
