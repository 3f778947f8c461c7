package engine

import (
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Action is something to do. The set is sealed. The shell performs actions
// strictly in order and does nothing else with them.
type Action interface{ action() }

// Family restricts a network action to an address family.
type Family uint8

// Address families.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

// Route says how a network action leaves the machine. The zero value leaves
// it to the kernel.
type Route struct {
	Proxy     string `json:",omitempty"`
	Interface string `json:",omitempty"`
	Family    Family `json:",omitempty"`
}

// Send opens a connected socket of its own for the exchange, with a source
// port of its own (RFC 9109), and sends the payload. The shell reports Sent
// with the best stamp it can get, or SendFailed, and Received for whatever
// comes back until Abandon. The payload belongs to the shell.
type Send struct {
	Exchange ExchangeID
	To       netip.AddrPort
	Route    Route
	Payload  []byte
}

// Abandon closes an exchange's socket. Nothing is reported for it afterwards.
type Abandon struct{ Exchange ExchangeID }

// Lookup resolves a name to addresses; the answer is LookedUp.
type Lookup struct {
	Request RequestID
	Host    string
	Route   Route

	// Absolute says that Host is whole as it is, because a key exchange named
	// it: "the recipient MUST treat it as a FQDN" (RFC 8915 section 4.1.7).
	// What the operator wrote may be meant for the resolver's search list.
	Absolute bool `json:",omitempty"`
}

// Locate asks DNS for the SRV records of a domain's key exchange; the answer
// is Located.
type Locate struct {
	Request RequestID
	Domain  string // whole as it is; no search list applies
	Route   Route
}

// ExchangeKeys runs the NTS key exchange with a server or pool; the answer is
// KeysEstablished or KeyExchangeFailed.
type ExchangeKeys struct {
	Request   RequestID
	Host      string
	Port      uint16
	Authority string   `json:",omitempty"` // file of extra root certificates
	Deny      []string `json:",omitempty"` // NTP servers that a pool is not to give
	Route     Route

	// Absolute says that Host is whole as it is, as in Lookup.
	Absolute bool `json:",omitempty"`

	// Earliest, where it is not zero, lets certificates be valid at another
	// time than now, from this one on; the answer says so.
	Earliest time.Time `json:",omitzero"`
}

// OpenReference starts a local reference clock; samples come as Referenced.
type OpenReference struct {
	Source kalman.SourceID
	Index  int // of the configured source
}

// CloseReference stops it.
type CloseReference struct{ Source kalman.SourceID }

// Steer adjusts the clock; the answer is SteerApplied or SteerFailed.
type Steer struct {
	ID         RequestID
	Adjustment kalman.Adjustment
}

// SetClockStatus tells the kernel what is known about the clock.
type SetClockStatus struct{ Status ClockStatus }

// ClockStatus is what an operating system keeps about its clock.
type ClockStatus struct {
	Synchronised bool
	Leap         proto.Leap
	EstError     proto.Duration // one standard deviation
	MaxError     proto.Duration // bound
}

// PublishSnapshot hands out what an NTP server says about this clock.
type PublishSnapshot struct{ Snapshot Snapshot }

// Snapshot describes the clock to NTP clients. Root dispersion at a later
// time is RootDispersion plus the time since Mono times DispersionRate.
type Snapshot struct {
	Mono           proto.Instant // when this was true
	Wall           proto.Timestamp
	Leap           proto.Leap
	Stratum        uint8 // MaxStratum while unsynchronised
	RefID          proto.RefID
	Reference      proto.Timestamp // last time the clock was set or corrected
	RootDelay      proto.Duration
	RootDispersion proto.Duration
	DispersionRate float64 // s/s, > 0
}

// Save asks for durable storage of the state, written whole or not at all.
type Save struct{ State State }

// Keep asks for durable storage of sessions, in place of all that were stored,
// where nobody else can read them. Their cookies are not used any more, unless
// a start takes them from there.
type Keep struct{ Sessions []Session }

// Level of an incident.
type Level uint8

// Incident levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Incident is something an operator may want to know. Code is stable.
type Incident struct {
	Level  Level
	Code   string          // e.g. "source-new", "kiss-rate", "clock-step"
	Source kalman.SourceID `json:",omitempty"`
	Name   string          `json:",omitempty"` // of the configured source
	Addr   netip.AddrPort  `json:",omitzero"`  // of the server
	Reason Reason          `json:",omitempty"`
	Text   string          // one line for people
}

// Report writes an incident to the log.
type Report struct{ Incident Incident }

// Halt stops the daemon: going on would do harm. Only main exits.
type Halt struct {
	Reason string
	Hint   string
}

func (Send) action()            {}
func (Abandon) action()         {}
func (Lookup) action()          {}
func (Locate) action()          {}
func (ExchangeKeys) action()    {}
func (OpenReference) action()   {}
func (CloseReference) action()  {}
func (Steer) action()           {}
func (SetClockStatus) action()  {}
func (PublishSnapshot) action() {}
func (Save) action()            {}
func (Keep) action()            {}
func (Report) action()          {}
func (Halt) action()            {}
