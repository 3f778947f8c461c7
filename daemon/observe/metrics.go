package observe

import (
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// ownFamilies are metrics that ntpd-rs does not have. They are made from the
// Report, so that they say what status says, and have samples only where
// something is known: a missing sample is never a zero.
var ownFamilies = []ownFamily{
	{"ntp_system_synchronised", "Whether the clock is synchronised: 1 or 0", "gauge", "", oneClock(func(c *ClockReport) *float64 {
		return truth(c.State == ClockSynchronised || c.State == ClockHoldover)
	})},
	{"ntp_system_state", "State of the clock: 1 for the one it is in", "gauge", "", func(r *Report, emit func(string, float64)) {
		for _, state := range []string{ClockSynchronised, ClockHoldover, ClockLocal, ClockUnsynchronised, ClockNoSources} {
			emit(labels("state", state), *truth(state == r.Clock.State))
		}
	}},
	{"ntp_system_offset_seconds", "True time minus clock: positive when the clock is slow", "gauge", "seconds", oneClock(func(c *ClockReport) *float64 { return c.Offset })},
	{"ntp_system_offset_uncertainty_seconds", "Standard deviation of the clock's offset", "gauge", "seconds", oneClock(func(c *ClockReport) *float64 { return c.Uncertainty })},
	{"ntp_system_error_bound_seconds", "How far from true time the clock can be", "gauge", "seconds", oneClock(func(c *ClockReport) *float64 { return c.ErrorBound })},
	{"ntp_system_frequency_ratio", "Correction of the oscillator's frequency, in seconds per second", "gauge", "ratio", oneClock(func(c *ClockReport) *float64 { return c.Frequency })},
	{"ntp_system_steps_total", "Steps of the clock since the start", "counter", "", oneClock(func(c *ClockReport) *float64 { return float(c.Steps) })},
	{"ntp_system_sources_selected", "Sources in use", "gauge", "", oneClock(func(c *ClockReport) *float64 { return float(c.Selected) })},
	{"ntp_system_sources_agreeing", "Sources in the largest group that agrees", "gauge", "", oneClock(func(c *ClockReport) *float64 { return float(c.Agreeing) })},
	{"ntp_system_sources_needed", "Sources that must agree", "gauge", "", oneClock(func(c *ClockReport) *float64 { return float(c.Needed) })},
	{"ntp_source_state", "State of each configured source, live or not, with the reason: always 1", "gauge", "", slots(func(s *SourceReport) *float64 { return truth(true) }, true)},
	{"ntp_source_used", "Whether a configured source is in use: 1 or 0", "gauge", "", slots(func(s *SourceReport) *float64 { return truth(s.Used) }, false)},
	{"ntp_source_reach_ratio", "Share of the last eight polls that were answered", "gauge", "ratio", slots(func(s *SourceReport) *float64 {
		if s.Reach == nil {
			return nil
		}
		v := float64(bits.OnesCount8(*s.Reach)) / 8
		return &v
	}, false)},
	{"ntp_source_stratum", "Stratum of the source", "gauge", "", slots(func(s *SourceReport) *float64 { return float(s.Stratum) }, false)},
	{"ntp_source_age_seconds", "Time since the last measurement of the source", "gauge", "seconds", slots(func(s *SourceReport) *float64 { return s.Age }, false)},
	{"ntp_source_dropped_packets_total", "Datagrams of the source that were forged, damaged or late", "counter", "", slots(func(s *SourceReport) *float64 { return float(s.Dropped) }, false)},
	{"ntp_source_certificate_expiry_timestamp_seconds", "When the certificate of the last key exchange with the source expires, in Unix time", "gauge", "seconds", slots(func(s *SourceReport) *float64 {
		if s.NTS == nil {
			return nil
		}
		return unix(s.NTS.NotAfter)
	}, false)},
	{"ntp_server_verdicts_total", "Requests by what became of them", "counter", "", func(r *Report, emit func(string, float64)) {
		for i := range r.Servers {
			counts(r.Servers[i].Verdicts, func(verdict string, n uint64) {
				emit(labels("listen_address", r.Servers[i].Address, "verdict", verdict), float64(n))
			})
		}
	}},
	{"ntp_server_kernel_drops_total", "Requests that the kernel dropped because the server did not take them in fast enough", "counter", "", func(r *Report, emit func(string, float64)) {
		for i := range r.Servers {
			if v := float(r.Servers[i].Drops); v != nil {
				emit(labels("listen_address", r.Servers[i].Address), *v)
			}
		}
	}},
	{"ntp_server_clients", "Different clients of all servers in the last hour, about", "gauge", "", func(r *Report, emit func(string, float64)) {
		if v := float(r.Clients); v != nil {
			emit("", *v)
		}
	}},
	{"ntp_nts_ke_server_certificate_expiry_timestamp_seconds", "When the certificate of the key-exchange server expires, in Unix time", "gauge", "seconds", func(r *Report, emit func(string, float64)) {
		for i := range r.KeyHosts {
			if v := unix(r.KeyHosts[i].NotAfter); v != nil {
				emit(labels("listen_address", r.KeyHosts[i].Address), *v)
			}
		}
	}},
	{"ntp_nts_ke_server_outcomes_total", "Key exchanges by how they came out", "counter", "", func(r *Report, emit func(string, float64)) {
		for i := range r.KeyHosts {
			counts(r.KeyHosts[i].Outcomes, func(outcome string, n uint64) {
				emit(labels("listen_address", r.KeyHosts[i].Address, "outcome", outcome), float64(n))
			})
		}
	}},
	{"ntp_nts_ke_server_process_restarts_total", "How often the process that serves key exchanges ended and was started again", "counter", "", func(r *Report, emit func(string, float64)) {
		for i := range r.KeyHosts {
			if v := float(r.KeyHosts[i].Restarts); v != nil {
				emit(labels("listen_address", r.KeyHosts[i].Address), *v)
			}
		}
	}},
}

// ownFamily is one metric that is made from a report.
type ownFamily struct {
	name, help, kind, unit string
	samples                func(r *Report, emit func(labels string, v float64))
}

// Names lists all metrics: those of ntpd-rs, in its order, and ours.
func Names() []string {
	var all []string
	for _, f := range families {
		all = append(all, f.name)
	}
	for _, f := range ownFamilies {
		all = append(all, f.name)
	}
	return all
}

func oneClock(f func(*ClockReport) *float64) func(*Report, func(string, float64)) {
	return func(r *Report, emit func(string, float64)) {
		if v := f(&r.Clock); v != nil {
			emit("", *v)
		}
	}
}

// slots emits a sample for each row of status. Two servers of a pool that are
// not found yet differ in nothing but their slot.
func slots(f func(*SourceReport) *float64, reasons bool) func(*Report, func(string, float64)) {
	return func(r *Report, emit func(string, float64)) {
		next := map[int]int{}
		for i := range r.Sources {
			s := &r.Sources[i]
			if s.Index == nil {
				continue // a daemon that tells of live sources only
			}
			slot := next[*s.Index]
			next[*s.Index]++
			v := f(s)
			if v == nil {
				continue
			}
			pairs := []string{"name", s.Name, "address", text(s.Address), "source", strconv.Itoa(*s.Index), "slot", strconv.Itoa(slot)}
			if reasons {
				pairs = append(pairs, "state", s.State, "reason", text(s.Reason))
			}
			emit(labels(pairs...), *v)
		}
	}
}

// counts goes through named counts by name.
func counts(m map[string]uint64, f func(name string, n uint64)) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f(name, m[name])
	}
}

func truth(b bool) *float64 {
	v := 0.0
	if b {
		v = 1
	}
	return &v
}

func float[N int | uint8 | uint64](n *N) *float64 {
	if n == nil {
		return nil
	}
	v := float64(*n)
	return &v
}

func unix(t *time.Time) *float64 {
	if t == nil {
		return nil
	}
	v := float64(t.Unix())
	return &v
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
