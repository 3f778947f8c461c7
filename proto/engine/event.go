package engine

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// Event is something that happened. The set is sealed.
type Event interface{ event() }

// ExchangeID names one request and its reply. IDs are not used again.
type ExchangeID uint64

// RequestID names one look-up, key exchange or steering action.
type RequestID uint64

// Class says why something failed, for machines; a text goes beside it for
// people.
type Class string

// Failure is why something did not work. The zero value means that it did.
type Failure struct {
	Class Class  `json:",omitempty"`
	Text  string `json:",omitempty"` // one line: what, where, and what to do
}

// Failed reports whether there is a failure.
func (f Failure) Failed() bool { return f.Class != "" }

// Classes of failure. They are the reasons of incidents and of status output.
const (
	ClassDNS          Class = "dns"           // the name did not resolve
	ClassNetwork      Class = "network"       // no route, interface down
	ClassRefused      Class = "refused"       // connection refused
	ClassTimeout      Class = "timeout"       // no answer in time
	ClassCertExpired  Class = "cert-expired"  // certificate outside its validity
	ClassCertUnknown  Class = "cert-unknown"  // certificate of an unknown authority
	ClassCertName     Class = "cert-name"     // certificate for another name
	ClassTLS          Class = "tls"           // any other failure of TLS
	ClassALPN         Class = "alpn"          // the peer does not speak ntske/1
	ClassProtocol     Class = "protocol"      // a malformed or forbidden answer
	ClassRemote       Class = "remote"        // the peer answered with an error
	ClassRejected     Class = "rejected"      // the peer will not accept this request
	ClassBadRequest   Class = "bad-request"   // the peer did not take the request in, or not in time
	ClassNoOverlap    Class = "no-overlap"    // no common protocol or algorithm
	ClassInsecureDNS  Class = "dns-insecure"  // an answer that DNSSEC does not secure
	ClassNoService    Class = "no-service"    // DNS names no server, or too few
	ClassNotSupported Class = "not-supported" // this build cannot do it
	ClassOther        Class = "other"
)

// Secret is key material or a cookie. It prints as "<secret>" and marshals to
// the same, so that no log or recording holds it.
type Secret []byte

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "<secret>") }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// UnmarshalText takes in what MarshalText left: no secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = append(Secret(nil), text...)
	return nil
}

// Sent says that the request of an exchange left, and when. It may come after
// the reply.
type Sent struct {
	Exchange ExchangeID
	Stamp    proto.Stamp
}

// SendFailed says that a request could not be sent.
type SendFailed struct {
	Exchange ExchangeID
	Failure  Failure
}

// Received is a datagram that came back on an exchange's socket. The payload
// is only valid during Handle.
type Received struct {
	Exchange ExchangeID
	From     netip.AddrPort
	Payload  []byte
	Stamp    proto.Stamp
}

// LookedUp answers a Lookup: the addresses in the resolver's order, only
// those to which this machine has a route, or why there are none.
type LookedUp struct {
	Request RequestID
	Addrs   []netip.Addr `json:",omitempty"`
	Failure Failure
}

// Located answers Locate: the SRV records, if DNSSEC secures them. A secure
// answer that there are none is not a failure.
type Located struct {
	Request RequestID
	Records []srv.Record  `json:",omitempty"` // in any order
	TTL     time.Duration // how long this may be used
	Failure Failure
}

// KeysEstablished answers ExchangeKeys.
type KeysEstablished struct {
	Request   RequestID
	Server    string // NTP server: its Server record or the key exchange's name
	Port      uint16 // NTP port: its Port record or 123
	Remote    netip.AddrPort
	Algorithm aead.Algorithm
	C2S, S2C  Secret
	Cookies   []Secret
	NotAfter  time.Time // end of the certificate chain's validity
	Trust     string    `json:",omitempty"` // names the authorities that vouched for the server

	// Where Earliest was given: the beginning of the validity, and whether the
	// certificates are not valid now.
	NotBefore   time.Time `json:",omitzero"`
	Provisional bool      `json:",omitempty"`
}

// Restored hands over what Keep stored in an earlier run, before anything else.
// Its Cookies are not in the store any more, and will not be after a crash; its
// Spare are.
type Restored struct{ Sessions []Session }

// KeyExchangeFailed answers ExchangeKeys when it did not work.
type KeyExchangeFailed struct {
	Request RequestID
	Failure Failure
}

// Referenced is a sample of a local reference clock.
type Referenced struct {
	Source kalman.SourceID
	Sample kalman.Reference
}

// ReferenceLost says that a reference clock's device is gone.
type ReferenceLost struct {
	Source  kalman.SourceID
	Failure Failure
}

// SteerApplied answers Steer with what the clock really did.
type SteerApplied struct {
	Steer   RequestID
	Applied kalman.Applied
}

// SteerFailed answers Steer when the clock refused.
type SteerFailed struct {
	Steer   RequestID
	Failure Failure
}

// Jumped says that the clock was moved by someone else, or that the machine
// slept: By is how far wall time moved against the monotonic clock, Slept how
// long the machine was suspended.
type Jumped struct {
	By    proto.Duration
	Slept time.Duration
}

// NetworkChanged says that addresses or routes changed. Local are the addresses
// of this machine, Serving the sockets at which this program serves NTP; an
// unspecified address stands for all of its family, and :: for both.
type NetworkChanged struct {
	Local   []netip.Addr
	Serving []netip.AddrPort `json:",omitempty"`
}

// Reconfigured replaces the configuration.
type Reconfigured struct{ Config Config }

// Commanded is an operator's command over the control socket.
type Commanded struct {
	Verb   string // reload, source-add, source-remove, accept-step
	Source string `json:",omitempty"`
}

// Ending says that the program is about to end. The engine has Keep store what
// there is, and does nothing more.
type Ending struct{}

func (Sent) event()              {}
func (SendFailed) event()        {}
func (Received) event()          {}
func (LookedUp) event()          {}
func (Located) event()           {}
func (KeysEstablished) event()   {}
func (KeyExchangeFailed) event() {}
func (Restored) event()          {}
func (Ending) event()            {}
func (Referenced) event()        {}
func (ReferenceLost) event()     {}
func (SteerApplied) event()      {}
func (SteerFailed) event()       {}
func (Jumped) event()            {}
func (NetworkChanged) event()    {}
func (Reconfigured) event()      {}
func (Commanded) event()         {}
