package ke

import (
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
)

// guard does what one connection needs. A fault of ours that a client found
// ends its connection and none else, and is reported.
func (f *Front) guard(conn net.Conn, work func()) {
	defer func() {
		if fault := recover(); fault != nil {
			detail := oneLine(fmt.Sprint(fault)) + " at " + faultAt()
			f.Outcome(Outcome{Kind: Panicked, Remote: AddrPort(conn.RemoteAddr()), Detail: detail})
		}
	}()
	work()
}

// faultAt is where a goroutine panicked, and the callers that led there. It
// must be called while its panic is being recovered.
func faultAt() string {
	const callers = 4
	var all [32]uintptr
	frames := runtime.CallersFrames(all[:runtime.Callers(1, all[:])])
	var places []string
	inside := false // the frames behind the runtime's, which called us
	for len(places) < callers {
		frame, more := frames.Next()
		ours := !strings.HasPrefix(frame.Function, "runtime.")
		if inside = inside || frame.Function == "runtime.gopanic"; inside && ours {
			places = append(places, fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(places, " < ")
}
