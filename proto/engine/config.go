package engine

import (
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Mode is how a configured source finds its servers.
type Mode string

// Source modes.
const (
	ModeServer  Mode = "server"
	ModePool    Mode = "pool"
	ModeNTS     Mode = "nts"
	ModeNTSPool Mode = "nts-pool"
	ModeSock    Mode = "sock"
	ModePPS     Mode = "pps"
	ModePHC     Mode = "phc"
)

// Source is one configured source.
type Source struct {
	Name      string // as configured, for people: host:port
	Mode      Mode
	Host      string // name or address, without brackets
	Port      uint16
	Count     int          // how many servers a pool keeps alive; 1 otherwise
	Ignore    []netip.Addr // addresses that a pool never uses
	Authority string       // file of extra root certificates
	SRV       bool         // find key exchange servers by SRV records
	PollMin   int8         // log2 seconds
	PollMax   int8
	PollStart int8 // initial poll interval
	Route     Route
}

// Config is everything the engine needs to know. It is a plain value.
type Config struct {
	Sources      []Source
	LocalStratum uint8       // stratum served without any source; MaxStratum for none
	ReferenceID  proto.RefID // served at LocalStratum 1 without a source
	Steering     bool        // false: never steer (no sources that could)
	Discipline   kalman.Config
	WarnOnJump   bool
	Watchdog     Watchdog
	// BoundedColdStart takes certificates of another time until the clock is
	// set.
	BoundedColdStart bool
	// KeepSessions keeps what key exchanges gave across restarts.
	KeepSessions bool
}

// State is what survives a restart. The zero value is a first start.
type State struct {
	Frequency        float64        // base frequency, s/s
	FrequencySigma   float64        // its standard deviation; 0 when unknown
	AccumulatedSteps proto.Duration // Σ|step| since the operator last said so
	SavedAt          time.Time
	// Panicked says that the last start in this boot of the machine ended at a
	// panic threshold, and that nothing was corrected since.
	Panicked bool
	// Floor is a time that is certainly past, such as when the program was
	// made: no step leads to a time before it. 0 is none. It is not saved.
	Floor proto.Timestamp
}

// Reason is why a source is in its state: the same words in incidents, in
// status output and in documentation.
type Reason string

// Condition is the state of a configured source's slot.
type Condition string

// Conditions, from nothing to contributing to the time.
const (
	Resolving    Condition = "resolving"     // waiting for DNS
	Exchanging   Condition = "key-exchange"  // waiting for keys
	Waiting      Condition = "waiting"       // backing off before the next try
	Demobilised  Condition = "demobilised"   // the server told us to go away
	Measuring    Condition = "measuring"     // too few samples yet
	Unreachable  Condition = "unreachable"   // no answers
	Unusable     Condition = "unusable"      // answers, but not fit for use
	Falseticker  Condition = "falseticker"   // disagrees with the majority
	Selected     Condition = "selected"      // believed and used
	NoMajority   Condition = "no-majority"   // good, but too few agree
	NotSupported Condition = "not-supported" // this build cannot do it
)

// SourceStatus is one row of status output: a live source, or a configured
// slot that has none, with the reason.
type SourceStatus struct {
	Index      int             // of the configured source
	ID         kalman.SourceID // 0 when no source is live
	Name       string
	Mode       Mode
	Addr       netip.AddrPort // zero when unresolved
	Condition  Condition
	Reason     Reason        // empty when Condition says it all
	Text       string        // one line for people, empty when nothing is wrong
	RetryIn    time.Duration // until the next try; 0 when none is pending
	NTS        bool
	Cookies    int // unused cookies; meaningful with NTS
	Reach      uint8
	Unanswered int // polls without an answer, 0–8
	Poll       int8
	Stratum    uint8
	RefID      proto.RefID
	Leap       proto.Leap
	Offset     proto.Duration // source minus clock
	Sigma      proto.Duration // one standard deviation of Offset; MaxDuration unknown
	Delay      proto.Duration
	RootDelay  proto.Duration // of the source
	RootDisp   proto.Duration
	LastUpdate proto.Timestamp // zero when never
	Samples    uint64
	NotAfter   time.Time // end of the certificates of the last key exchange; zero when not known

	// The last measurement by itself, where Offset and Delay are what all of
	// them say.
	Measured Measurement
	Accepted uint64 // replies that counted
	Dropped  uint64 // datagrams that were ignored: forged, damaged or late
}

// Measurement is one exchange with a server.
type Measurement struct {
	Offset proto.Duration // source minus clock
	Delay  proto.Duration
}

// Status is a value, safe to publish.
type Status struct {
	Sources          []SourceStatus
	Snapshot         Snapshot
	Synchronised     bool
	Text             string // why not synchronised; empty when it is
	Offset           proto.Duration
	Sigma            proto.Duration
	Frequency        float64 // s/s
	Selected         int
	Primary          kalman.SourceID // the selected source that is the reference; 0 for none
	Agree            int             // sources in the largest group that agrees
	Agreeing         int             // needed for a majority
	AccumulatedSteps proto.Duration
	Steps            int
}
