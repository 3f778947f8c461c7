package proto

// StampSource says who took a timestamp; the lower in the machine, the less
// waiting it includes.
type StampSource uint8

// Timestamp sources, from the least to the most exact.
const (
	StampNone     StampSource = iota // no timestamp
	StampDaemon                      // read by the daemon around the system call
	StampKernel                      // taken by the kernel's network stack
	StampHardware                    // taken by the network interface
)

// String names the source as status output prints it.
func (s StampSource) String() string {
	switch s {
	case StampNone:
		return "none"
	case StampDaemon:
		return "daemon"
	case StampKernel:
		return "kernel"
	case StampHardware:
		return "hardware"
	default:
		return "invalid"
	}
}

// Stamp is when a packet or a pulse passed: a time on the timescale that is
// steered and served, who took it, and how far off it may be (one standard
// deviation, ≥ 0).
type Stamp struct {
	At     Timestamp
	Source StampSource
	Err    Duration
}

// Leap is the leap indicator of RFC 5905 section 7.3.
type Leap uint8

// Leap indicators. Unsynchronised also means "unknown" on the wire.
const (
	LeapNone           Leap = 0 // no warning
	LeapInsert         Leap = 1 // the last minute of the day has 61 seconds
	LeapDelete         Leap = 2 // the last minute of the day has 59 seconds
	LeapUnsynchronised Leap = 3 // the clock is not synchronised
)

// String names the indicator.
func (l Leap) String() string {
	switch l {
	case LeapNone:
		return "none"
	case LeapInsert:
		return "insert second"
	case LeapDelete:
		return "delete second"
	default:
		return "unsynchronised"
	}
}
