package engine

import (
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// RFC 9109 section 4: a client with a port for each request "SHOULD close the
// corresponding socket/port after each request/response exchange". What is
// abandoned is closed: here within 10 ms of a reply, and with the reply window
// of 5 s where none came.
func TestRFC9109Section4PortsAreClosedAfterTheExchange(t *testing.T) {
	for name, tt := range map[string]struct {
		down   bool
		within time.Duration
	}{"answered": {false, 2*oneWay + 10*time.Millisecond}, "silent": {true, 5 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1)))
			w.host("192.0.2.1").down = tt.down
			w.run(20 * time.Minute)
			w.run(tt.within) // what was sent last may still be open before
			opened := map[ExchangeID]proto.Instant{}
			closed := 0
			for _, a := range w.actions {
				switch act := a.Action.(type) {
				case Send:
					opened[act.Exchange] = a.at
				case Abandon:
					if took := a.at.Sub(opened[act.Exchange]); took > tt.within {
						t.Errorf("exchange %d was open for %v", act.Exchange, took)
					}
					delete(opened, act.Exchange)
					closed++
				}
			}
			for id, at := range opened {
				if w.mono.Sub(at) > tt.within {
					t.Errorf("exchange %d is open since %v", id, w.mono.Sub(at))
				}
			}
			if closed < 10 {
				t.Errorf("only %d exchanges", closed)
			}
		})
	}
}
