// Package observe is the observation socket: what the daemon knows, as one
// JSON document over a Unix socket that anyone may read. Framing and keys are
// those of ntpd-rs, so that either project's tools read either daemon; what
// ntpd-rs has no key for stands in one object of our own.
package observe

import (
	"math"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// State is one document of the observation socket.
type State struct {
	Program Program  `json:"program"`
	System  System   `json:"system"`
	Sources []Source `json:"sources"`
	Servers []Server `json:"servers"`
	Own     *Own     `json:"ntpd_go,omitempty"` // nil when another daemon answered
}

// Program says which daemon answered.
type Program struct {
	Version         string    `json:"version"`
	BuildCommit     string    `json:"build_commit"`
	BuildCommitDate string    `json:"build_commit_date"`
	UptimeSeconds   float64   `json:"uptime_seconds"`
	Now             Timestamp `json:"now"`
}

// Timestamp is a 64-bit NTP timestamp.
type Timestamp struct {
	Timestamp uint64 `json:"timestamp"`
}

// System describes the clock. Durations are in seconds. The variance of the
// error at a later time t (seconds since RootVarianceBaseTime) is a cubic
// polynomial. RootDispersion is the key of ntpd-rs before 1.5 for the same.
type System struct {
	Stratum                   uint8     `json:"stratum"`
	ReferenceID               uint32    `json:"reference_id"`
	AccumulatedStepsThreshold *float64  `json:"accumulated_steps_threshold"`
	Precision                 float64   `json:"precision"`
	RootDelay                 float64   `json:"root_delay"`
	RootDispersion            *float64  `json:"root_dispersion,omitempty"`
	RootVarianceBaseTime      Timestamp `json:"root_variance_base_time"`
	RootVarianceBase          float64   `json:"root_variance_base"`
	RootVarianceLinear        float64   `json:"root_variance_linear"`
	RootVarianceQuadratic     float64   `json:"root_variance_quadratic"`
	RootVarianceCubic         float64   `json:"root_variance_cubic"`
	LeapIndicator             string    `json:"leap_indicator"`
	AccumulatedSteps          float64   `json:"accumulated_steps"`
}

// Dispersion is the root dispersion in seconds at a time.
func (s *System) Dispersion(now Timestamp) float64 {
	if now.Timestamp == 0 && s.RootDispersion != nil {
		return *s.RootDispersion // the daemon is older than the polynomial
	}
	t := proto.Timestamp(now.Timestamp).Sub(proto.Timestamp(s.RootVarianceBaseTime.Timestamp)).Seconds()
	v := s.RootVarianceBase + t*(s.RootVarianceLinear+t*(s.RootVarianceQuadratic+t*s.RootVarianceCubic))
	return math.Sqrt(max(v, 0))
}

// Source is one live time source, in seconds.
type Source struct {
	Offset            float64   `json:"offset"`
	Uncertainty       float64   `json:"uncertainty"`
	Delay             float64   `json:"delay"`
	RemoteDelay       float64   `json:"remote_delay"`
	RemoteUncertainty float64   `json:"remote_uncertainty"`
	LastUpdate        Timestamp `json:"last_update"`
	UnansweredPolls   int       `json:"unanswered_polls"`
	PollInterval      int8      `json:"poll_interval"` // log2 seconds
	NTSCookies        *int      `json:"nts_cookies"`
	Name              string    `json:"name"`
	Address           string    `json:"address"`
	ID                uint64    `json:"id"`
}

// Server is one NTP server socket with its counters.
type Server struct {
	Address string `json:"address"`
	Stats   Stats  `json:"stats"`
}

// Stats counts what a server did with requests.
type Stats struct {
	ReceivedPackets       uint64 `json:"received_packets"`
	AcceptedPackets       uint64 `json:"accepted_packets"`
	DeniedPackets         uint64 `json:"denied_packets"`
	IgnoredPackets        uint64 `json:"ignored_packets"`
	RateLimitedPackets    uint64 `json:"rate_limited_packets"`
	ResponseSendErrors    uint64 `json:"response_send_errors"`
	NTSReceivedPackets    uint64 `json:"nts_received_packets"`
	NTSAcceptedPackets    uint64 `json:"nts_accepted_packets"`
	NTSDeniedPackets      uint64 `json:"nts_denied_packets"`
	NTSRateLimitedPackets uint64 `json:"nts_rate_limited_packets"`
	NTSNakPackets         uint64 `json:"nts_nak_packets"`
}

// Own is what ntpd-rs has no keys for. Durations are in seconds; null means
// unknown.
type Own struct {
	Schema       int      `json:"schema"` // version of this object
	Synchronised bool     `json:"synchronised"`
	Text         string   `json:"text"` // why not synchronised
	ReferenceID  string   `json:"reference_id"`
	Offset       *float64 `json:"offset"`
	Sigma        *float64 `json:"sigma"`
	Frequency    float64  `json:"frequency"` // s/s
	Selected     int      `json:"selected"`
	Agreeing     int      `json:"agreeing"` // sources that must agree
	Steps        int      `json:"steps"`
	Clock        string   `json:"clock"`   // system or software
	Primary      uint64   `json:"primary"` // ID of the source that is the reference; 0 when it is not known
	Agree        *int     `json:"agree"`   // sources in the largest group that agrees
	Sources      []Row    `json:"sources"`

	// Verdicts counts for each of Servers what became of requests, by name.
	Verdicts []map[string]uint64 `json:"verdicts,omitempty"`
	// Drops counts for each of Servers the requests that the kernel dropped
	// since the socket was opened, because they came faster than they were
	// taken in.
	Drops []uint64 `json:"kernel_drops,omitempty"`
	// Clients is about how many different clients asked in the last hour; nil
	// when nobody counts them.
	Clients  *uint64   `json:"clients,omitempty"`
	KeyHosts []KeyHost `json:"nts_ke_servers,omitempty"`
}

// Schema is the version of Own that this package writes.
const Schema = 1

// Row is one configured source, live or not.
type Row struct {
	Source    int      `json:"source"` // index among the configured sources
	ID        uint64   `json:"id"`     // 0 when none is live
	Name      string   `json:"name"`
	Mode      string   `json:"mode"`
	Address   string   `json:"address"` // empty when unresolved
	Condition string   `json:"condition"`
	Reason    string   `json:"reason"`
	Text      string   `json:"text"`
	RetryIn   *float64 `json:"retry_in"`
	NTS       bool     `json:"nts"`
	Cookies   *int     `json:"cookies"`
	Reach     uint8    `json:"reach"`
	Poll      *int8    `json:"poll"` // log2 seconds
	Stratum   *uint8   `json:"stratum"`
	RefID     string   `json:"reference_id"`
	Offset    *float64 `json:"offset"`
	Sigma     *float64 `json:"sigma"`
	Delay     *float64 `json:"delay"`

	RootDelay      *float64   `json:"root_delay"`
	RootDispersion *float64   `json:"root_dispersion"`
	LastUpdate     *Timestamp `json:"last_update"`
	Samples        *uint64    `json:"samples"`
	Dropped        *uint64    `json:"dropped"`
	Unanswered     *int       `json:"unanswered_polls"`
	NotAfter       *time.Time `json:"certificate_expires"`
}
