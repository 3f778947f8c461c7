//go:build !linux

package doctor

import "os"

// lookAround sees nothing but itself here.
func lookAround() *machine {
	return &machine{self: process{pid: os.Getpid(), uid: os.Getuid()}}
}
