// Package wire is what the laboratory and its guest say to each other over a serial line: one JSON value a line, each
// request answered by one reply with the same number.
package wire

import "time"

// The operations that a guest performs.
const (
	Ping    = "ping"    // reply at once
	Run     = "run"     // run Args to the end; reply with its output and exit code
	Start   = "start"   // start Args in the background; Output becomes the name under which it is known
	Log     = "log"     // reply with what a started program has printed since Offset
	Stop    = "stop"    // send Signal to a started program and wait until it has ended
	SetTime = "settime" // set the guest's clock to Time
	Clock   = "clock"   // reply with the guest's time in Time
	Read    = "read"    // reply with the file Args[0]
	Connect = "connect" // open a TCP connection to Args[0]; Code is 0 when it is taken, 1 when it is refused
	Socket  = "socket"  // reply with everything that the Unix socket Args[0] sends
	Write   = "write"   // write Args[1] into the file Args[0]
	Halt    = "halt"    // power off; there is no reply
)

// Request is a line from the host.
type Request struct {
	ID     int       `json:"id"`
	Op     string    `json:"op"`
	Name   string    `json:"name,omitempty"` // of a background program
	Args   []string  `json:"args,omitempty"`
	Dir    string    `json:"dir,omitempty"` // working directory
	Offset int       `json:"offset,omitempty"`
	Signal int       `json:"signal,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Reply is a line from the guest.
type Reply struct {
	ID     int       `json:"id"`
	Output string    `json:"output,omitempty"`
	Bytes  []byte    `json:"bytes,omitempty"`
	Code   int       `json:"code"` // exit code; -1 while a program still runs or when a signal ended it
	Time   time.Time `json:"time,omitzero"`
	Error  string    `json:"error,omitempty"` // the operation itself failed
}
