package observe

import (
	"bytes"
	"strings"
	"testing"
)

// ntpdRs are the families of ntpd-rs 1.9 in its order, each with its type and
// labels.
const ntpdRs = `ntp_uptime_seconds gauge version build_commit build_commit_date
ntp_system_poll_interval_seconds gauge
ntp_system_accumulated_steps_seconds gauge
ntp_system_accumulated_steps_threshold_seconds gauge
ntp_system_leap_indicator gauge
ntp_system_root_delay_seconds gauge
ntp_system_root_dispersion_seconds gauge
ntp_system_stratum gauge
ntp_source_poll_interval_seconds gauge name address id
ntp_source_unanswered_polls gauge name address id
ntp_source_nts_cookies_available gauge name address id
ntp_source_offset_seconds gauge name address id
ntp_source_delay_seconds gauge name address id
ntp_source_uncertainty_seconds gauge name address id
ntp_source_root_delay_seconds gauge name address id
ntp_source_root_dispersion_seconds gauge name address id
ntp_server_received_packets_total counter listen_address
ntp_server_accepted_packets_total counter listen_address
ntp_server_denied_packets_total counter listen_address
ntp_server_ignored_packets_total counter listen_address
ntp_server_rate_limited_packets_total counter listen_address
ntp_server_response_send_errors_total counter listen_address
ntp_server_nts_received_packets_total counter listen_address
ntp_server_nts_accepted_packets_total counter listen_address
ntp_server_nts_denied_packets_total counter listen_address
ntp_server_nts_rate_limited_packets_total counter listen_address
ntp_server_nts_nak_packets_total counter listen_address`

func TestNtpdRsFamiliesAreAllThere(t *testing.T) {
	s := sample()
	var b bytes.Buffer
	if err := WritePrometheus(&b, &s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	at := 0
	next := func(prefix string) string {
		for ; at < len(lines); at++ {
			if strings.HasPrefix(lines[at], prefix) {
				return lines[at]
			}
		}
		t.Fatalf("no %q, or not in its place", prefix)
		return ""
	}
	n := 0
	for family := range strings.SplitSeq(ntpdRs, "\n") {
		n++
		words := strings.Fields(family)
		next("# HELP " + words[0] + " ")
		if got := next("# TYPE " + words[0] + " "); !strings.HasSuffix(got, " "+words[1]) {
			t.Errorf("%s instead of %s", got, words[1])
		}
		line := next(words[0])
		rest := strings.TrimPrefix(line, words[0])
		for i, label := range words[2:] {
			if want := []string{"{", ","}[min(i, 1)] + label + `="`; !strings.Contains(rest, want) {
				t.Errorf("%s has no label %s", line, label)
			}
		}
		if got := strings.Count(rest, `="`); got != len(words)-2 {
			t.Errorf("%s has %d labels instead of %d", line, got, len(words)-2)
		}
	}
	if n != 27 {
		t.Errorf("%d families", n)
	}
}
