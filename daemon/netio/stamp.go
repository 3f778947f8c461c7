package netio

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Standard deviations of timestamps that nobody can measure from inside.
const (
	// kernelErr is the way from the network stack to the wire or back.
	kernelErr = 2 * proto.Second / 1_000_000 // 2 µs
	// daemonErr adds the wait for the scheduler.
	daemonErr = 50 * proto.Second / 1_000_000 // 50 µs
)

// realtime reads CLOCK_REALTIME.
func realtime() proto.Timestamp { return proto.FromTime(time.Now()) }

// daemonStamp is the present moment as a receive timestamp.
func daemonStamp() proto.Stamp {
	return proto.Stamp{At: realtime(), Source: proto.StampDaemon, Err: daemonErr}
}
