package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/proto"
)

func TestJudge(t *testing.T) {
	all := states(t)
	cf := checkFlags{warn: 10 * time.Millisecond, critical: 50 * time.Millisecond, sources: 2, days: 14}
	for _, c := range []struct {
		state string
		edit  func(*observe.Report)
		want  string
		code  int
	}{
		{"healthy", nil, "NTP OK - Synchronised: 3 sources agree", plainOK},
		{"healthy", func(r *observe.Report) { b := 0.02; r.Clock.ErrorBound = &b }, "NTP WARNING - the clock may be 20.0 ms off, more than 10ms |", plainWarning},
		{"healthy", func(r *observe.Report) { b := 0.2; r.Clock.ErrorBound = &b }, "NTP CRITICAL - the clock may be 200 ms off, more than 50ms |", plainCritical},
		{"healthy", func(r *observe.Report) { one := 1; r.Clock.Selected = &one }, "NTP WARNING - sources in use: 1, fewer than 2 |", plainWarning},
		{"holdover", nil, "NTP WARNING - no source answers; the clock may be 14.8 ms off", plainWarning},
		{"offline", nil, "NTP CRITICAL - Not synchronised: none of the 2 sources", plainCritical},
		{"nothing", nil, "NTP CRITICAL - Not synchronised: no sources", plainCritical},
		{"healthy", func(r *observe.Report) {
			end := r.Time.Add(-time.Hour)
			r.KeyHosts = []observe.KeyHost{{Address: "[::]:4460", NotAfter: &end}}
		}, "NTP CRITICAL - the certificate of [::]:4460 expired 1 h ago", plainCritical},
		{"healthy", func(r *observe.Report) {
			end := r.Time.Add(13 * 24 * time.Hour)
			r.KeyHosts = []observe.KeyHost{{Address: "[::]:4460", NotAfter: &end}}
		}, "NTP WARNING - the certificate of [::]:4460 expires in 13 d", plainWarning},
		{"healthy", func(r *observe.Report) {
			end := r.Time.Add(15 * 24 * time.Hour)
			r.KeyHosts = []observe.KeyHost{{Address: "[::]:4460", NotAfter: &end}}
		}, "NTP OK", plainOK},
		{"offline", func(r *observe.Report) { r.Headline = "a | b" }, "NTP CRITICAL - a / b | ", plainCritical},
	} {
		r := observe.NewReport(all[c.state], at)
		if c.edit != nil {
			c.edit(r)
		}
		line, code := cf.judge(r)
		if code != c.code || !strings.HasPrefix(line, c.want) || strings.Count(line, "|") != 1 || strings.Contains(line, "\n") {
			t.Errorf("%s: %d, %s\ninstead of %d, %s", c.state, code, line, c.code, c.want)
		}
	}
}

// What is proposed, asked and done when the clock is wrong.
func TestCorrection(t *testing.T) {
	for _, c := range []struct {
		name    string
		offset  float64
		flags   forceFlags
		answer  string
		refuse  error
		stepped bool
		code    int
		says    []string
	}{
		{"right", 0.9, forceFlags{yes: true}, "", nil, false, 0, []string{"within 1s"}},
		{"yes", 3723, forceFlags{yes: true}, "", nil, true, 0, []string{"behind by 1 hour 2 minutes 3 seconds", "The current local time is Sun, 01 Mar 2026 12:00:00 +0000", "should be Sun, 01 Mar 2026 13:02:03", "Time updated successfully"}},
		{"ahead", -90061, forceFlags{yes: true}, "", nil, true, 0, []string{"ahead by 1 day 1 hour 1 minute 1 second"}},
		{"dry", 3600, forceFlags{dry: true}, "", nil, false, 0, []string{"Time not updated (--dry-run)"}},
		{"dry beats yes", 3600, forceFlags{dry: true, yes: true}, "", nil, false, 0, []string{"--dry-run"}},
		{"asked, y", 3600, forceFlags{}, "y\n", nil, true, 0, []string{"[y/N]", "updated successfully"}},
		{"asked, YES", 3600, forceFlags{}, "YES\n", nil, true, 0, nil},
		{"asked, n", 3600, forceFlags{}, "n\n", nil, false, 0, []string{"Time not updated\n"}},
		{"asked, nothing", 3600, forceFlags{}, "", nil, false, 0, []string{"Time not updated\n"}},
		{"asked, yesterday", 3600, forceFlags{}, "yesterday\n", nil, false, 0, []string{"Time not updated\n"}},
		{"may not", 3600, forceFlags{yes: true}, "", errMayNotStep, true, cli.NoPermission, nil},
		{"cannot", 3600, forceFlags{yes: true}, "", errors.New("broken"), true, cli.Failure, nil},
	} {
		var out bytes.Buffer
		var by proto.Duration
		stepped := false
		k := &correction{out: &out, in: strings.NewReader(c.answer), now: func() time.Time { return at }, step: func(d proto.Duration) error {
			stepped, by = true, d
			return c.refuse
		}}
		offset := proto.FromSeconds(c.offset)
		err := k.propose(measured{offset: offset, sources: 2, configured: 3}, &c.flags)
		if stepped != c.stepped || stepped && by != offset || cli.Code(err) != c.code {
			t.Errorf("%s: stepped %v by %v, %v", c.name, stepped, by, err)
		}
		for _, want := range c.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out.String())
			}
		}
	}
}

func TestSpan(t *testing.T) {
	for s, want := range map[float64]string{0.4: "0 seconds", 1: "1 second", 60: "1 minute", 86399.6: "1 day", 172861: "2 days 1 minute 1 second"} {
		if got := span(s); got != want {
			t.Errorf("%v: %q instead of %q", s, got, want)
		}
	}
}

// On no terminal each state is a line, once.
func TestProgressSaysEachStateOnce(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, &waitFlags{})
	for range 3 {
		p.line("one", "9 s left")
	}
	p.line("two", "8 s left")
	p.end()
	if b.String() != "one\ntwo\n" {
		t.Errorf("got %q", b.String())
	}
	b.Reset()
	p = newProgress(&b, &waitFlags{quiet: true})
	p.line("one", "")
	if p.end(); b.Len() > 0 {
		t.Errorf("said %q", b.String())
	}
}
