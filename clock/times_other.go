//go:build !linux

package clock

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Machine reads the clocks of this machine. Where there is no clock that
// nobody steers, the monotonic one stands in for all but wall time.
func Machine() Times { return machine{} }

type machine struct{}

var start = time.Now()

func (machine) Real() proto.Timestamp { return proto.FromTime(time.Now()) }
func (machine) Raw() proto.Raw        { return proto.Raw(time.Since(start)) }
func (machine) Boot() proto.Instant   { return proto.Instant(time.Since(start)) }
func (machine) Mono() time.Duration   { return time.Since(start) }
