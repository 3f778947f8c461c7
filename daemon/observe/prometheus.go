package observe

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// family is one metric of the exposition. Each sample is a label set and a
// value.
type family struct {
	name, help, kind, unit string
	samples                func(s *State, emit func(labels string, v float64))
}

// families are ntpd-rs' metrics under their names and labels, in its order.
var families = []family{
	{"ntp_uptime_seconds", "How long the daemon has been up", "gauge", "seconds", func(s *State, emit func(string, float64)) {
		emit(labels("version", s.Program.Version, "build_commit", s.Program.BuildCommit, "build_commit_date", s.Program.BuildCommitDate), s.Program.UptimeSeconds)
	}},
	{"ntp_system_poll_interval_seconds", "Shortest poll interval of any source (kept for old dashboards)", "gauge", "seconds", single(shortestPoll)},
	{"ntp_system_accumulated_steps_seconds", "Sum of the sizes of all clock steps after the first", "gauge", "seconds", single(func(s *State) float64 { return s.System.AccumulatedSteps })},
	{"ntp_system_accumulated_steps_threshold_seconds", "Sum of steps that stops the daemon; -1 without such a limit", "gauge", "seconds", single(func(s *State) float64 {
		if s.System.AccumulatedStepsThreshold == nil {
			return -1
		}
		return *s.System.AccumulatedStepsThreshold
	})},
	{"ntp_system_leap_indicator", "Leap warning: 0 none, 1 inserted, 2 deleted, 3 unknown, 4 unsynchronised", "gauge", "", single(func(s *State) float64 { return leapValue(s.System.LeapIndicator) })},
	{"ntp_system_root_delay_seconds", "Round-trip delay to the root of the time", "gauge", "seconds", single(func(s *State) float64 { return s.System.RootDelay })},
	{"ntp_system_root_dispersion_seconds", "Error bound of the clock without the delay's share", "gauge", "seconds", single(func(s *State) float64 { return s.System.Dispersion(s.Program.Now) })},
	{"ntp_system_stratum", "Stratum that is served; 16 while unsynchronised", "gauge", "", single(func(s *State) float64 { return float64(s.System.Stratum) })},
	{"ntp_source_poll_interval_seconds", "Current poll interval of the source", "gauge", "seconds", perSource(func(s *Source) float64 { return math.Ldexp(1, int(s.PollInterval)) })},
	{"ntp_source_unanswered_polls", "Polls in a row without an answer, at most 8", "gauge", "", perSource(func(s *Source) float64 { return float64(s.UnansweredPolls) })},
	{"ntp_source_nts_cookies_available", "Unused NTS cookies of the source", "gauge", "", func(s *State, emit func(string, float64)) {
		for i := range s.Sources {
			if n := s.Sources[i].NTSCookies; n != nil {
				emit(sourceLabels(&s.Sources[i]), float64(*n))
			}
		}
	}},
	{"ntp_source_offset_seconds", "Time of the source minus our clock", "gauge", "seconds", perSource(func(s *Source) float64 { return s.Offset })},
	{"ntp_source_delay_seconds", "Round-trip delay to the source", "gauge", "seconds", perSource(func(s *Source) float64 { return s.Delay })},
	{"ntp_source_uncertainty_seconds", "Standard deviation of the source's offset", "gauge", "seconds", perSource(func(s *Source) float64 { return s.Uncertainty })},
	{"ntp_source_root_delay_seconds", "Root delay that the source states", "gauge", "seconds", perSource(func(s *Source) float64 { return s.RemoteDelay })},
	{"ntp_source_root_dispersion_seconds", "Root dispersion that the source states", "gauge", "seconds", perSource(func(s *Source) float64 { return s.RemoteUncertainty })},
	counter("received_packets", "Requests received", func(s *Stats) uint64 { return s.ReceivedPackets }),
	counter("accepted_packets", "Requests answered with the time", func(s *Stats) uint64 { return s.AcceptedPackets }),
	counter("denied_packets", "Requests answered with a DENY kiss", func(s *Stats) uint64 { return s.DeniedPackets }),
	counter("ignored_packets", "Requests dropped, those over the rate limit excepted", func(s *Stats) uint64 { return s.IgnoredPackets }),
	counter("rate_limited_packets", "Requests over the rate limit", func(s *Stats) uint64 { return s.RateLimitedPackets }),
	counter("response_send_errors", "Answers that could not be sent", func(s *Stats) uint64 { return s.ResponseSendErrors }),
	counter("nts_received_packets", "Requests received with NTS", func(s *Stats) uint64 { return s.NTSReceivedPackets }),
	counter("nts_accepted_packets", "NTS requests answered with the time", func(s *Stats) uint64 { return s.NTSAcceptedPackets }),
	counter("nts_denied_packets", "NTS requests answered with a DENY kiss", func(s *Stats) uint64 { return s.NTSDeniedPackets }),
	counter("nts_rate_limited_packets", "NTS requests over the rate limit", func(s *Stats) uint64 { return s.NTSRateLimitedPackets }),
	counter("nts_nak_packets", "Requests answered with an NTS NAK", func(s *Stats) uint64 { return s.NTSNakPackets }),
}

// WritePrometheus prints the state in the text format that Prometheus and
// OpenMetrics share: ntpd-rs' families in its order, then ours.
func WritePrometheus(w io.Writer, s *State) error {
	b := bufio.NewWriter(w)
	sample := func(name string) func(string, float64) {
		return func(labels string, v float64) {
			fmt.Fprintf(b, "%s%s %s\n", name, labels, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	for _, f := range families {
		head(b, f.name, f.help, f.kind, f.unit)
		f.samples(s, sample(f.name))
	}
	if s.Own != nil {
		r := NewReport(s, time.Now())
		for _, f := range ownFamilies {
			head(b, f.name, f.help, f.kind, f.unit)
			f.samples(r, sample(f.name))
		}
	}
	fmt.Fprintf(b, "# EOF\n")
	return b.Flush()
}

func head(b *bufio.Writer, name, help, kind, unit string) {
	fmt.Fprintf(b, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, kind)
	if unit != "" {
		fmt.Fprintf(b, "# UNIT %s %s\n", name, unit)
	}
}

func single(f func(*State) float64) func(*State, func(string, float64)) {
	return func(s *State, emit func(string, float64)) { emit("", f(s)) }
}

func perSource(f func(*Source) float64) func(*State, func(string, float64)) {
	return func(s *State, emit func(string, float64)) {
		for i := range s.Sources {
			emit(sourceLabels(&s.Sources[i]), f(&s.Sources[i]))
		}
	}
}

func counter(name, help string, f func(*Stats) uint64) family {
	return family{"ntp_server_" + name + "_total", help, "counter", "", func(s *State, emit func(string, float64)) {
		for i := range s.Servers {
			emit(labels("listen_address", s.Servers[i].Address), float64(f(&s.Servers[i].Stats)))
		}
	}}
}

func sourceLabels(s *Source) string {
	return labels("name", s.Name, "address", s.Address, "id", strconv.FormatUint(s.ID, 10))
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labels formats pairs of name and value.
func labels(pairs ...string) string {
	var b strings.Builder
	sep := byte('{')
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte(sep)
		b.WriteString(pairs[i] + `="` + escapeLabel.Replace(pairs[i+1]) + `"`)
		sep = ','
	}
	b.WriteByte('}')
	return b.String()
}

// shortestPoll is the least poll interval of any source; 16 s when there is
// none.
func shortestPoll(s *State) float64 {
	if len(s.Sources) == 0 {
		return 16
	}
	shortest := math.Inf(1)
	for i := range s.Sources {
		shortest = min(shortest, math.Ldexp(1, int(s.Sources[i].PollInterval)))
	}
	return shortest
}

func leapValue(name string) float64 {
	switch name {
	case "NoWarning":
		return 0
	case "Leap61":
		return 1
	case "Leap59":
		return 2
	case "Unsynchronized":
		return 4
	default:
		return 3
	}
}
