package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// Exit codes of monitoring plugins.
const (
	plainOK = iota
	plainWarning
	plainCritical
	plainUnknown
)

var severities = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

type checkFlags struct {
	warn, critical time.Duration
	sources, days  int
}

func checkCommand(f *flags) *cobra.Command {
	cf := &checkFlags{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Judge the clock in one line, for Nagios and its like, and for probes",
		Long: `Judge the clock in one line with performance data, as monitoring plugins do.

Exit codes: 0 OK; 1 WARNING; 2 CRITICAL: not synchronised, or beyond --critical; 3 UNKNOWN: the daemon could not be asked.`,
		Example: "  ntp-ctl check\n  ntp-ctl check --warn 10ms --critical 50ms --min-sources 3 --cert-days 14",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return check(cmd.OutOrStdout(), f, cf) },
	}
	fs := cmd.Flags()
	fs.DurationVar(&cf.warn, "warn", 100*time.Millisecond, "warn when the error bound is above this")
	fs.DurationVar(&cf.critical, "critical", time.Second, "critical when the error bound is above this")
	fs.DurationVar(&cf.critical, "max-error", time.Second, "the same as --critical")
	fs.IntVar(&cf.sources, "min-sources", 1, "warn when fewer sources are in use")
	fs.IntVar(&cf.days, "cert-days", 14, "warn when a certificate of ours expires within so many days; 0 never")
	return cmd
}

func check(w io.Writer, f *flags, cf *checkFlags) error {
	if cf.warn > cf.critical {
		return cli.Exit(cli.Usage, fmt.Errorf("--warn %v is above --critical %v", cf.warn, cf.critical))
	}
	path, err := observationPath(f.config)
	var s observe.State
	if err == nil {
		s, err = observe.Read(path, readTimeout)
	}
	if err != nil {
		fmt.Fprintf(w, "NTP UNKNOWN - %v\n", err)
		return cli.Exit(plainUnknown, nil)
	}
	line, code := cf.judge(observe.NewReport(&s, time.Now()))
	fmt.Fprintln(w, line)
	if code == plainOK {
		return nil
	}
	return cli.Exit(code, nil)
}

// judge is the line and its exit code. The worst of several faults counts.
func (cf *checkFlags) judge(r *observe.Report) (string, int) {
	code := plainOK
	var faults []string
	fault := func(severity int, text string) {
		code, faults = max(code, severity), append(faults, text)
	}
	c := &r.Clock
	switch {
	case c.State == observe.ClockHoldover:
		fault(plainWarning, "no source answers")
	case c.State != observe.ClockSynchronised:
		fault(plainCritical, strings.TrimSuffix(r.Headline, "."))
	}
	if c.ErrorBound != nil && c.State != observe.ClockLocal {
		switch b := *c.ErrorBound; {
		case b > cf.critical.Seconds():
			fault(plainCritical, fmt.Sprintf("the clock may be %s off, more than %v", observe.Magnitude(b), cf.critical))
		case b > cf.warn.Seconds():
			fault(plainWarning, fmt.Sprintf("the clock may be %s off, more than %v", observe.Magnitude(b), cf.warn))
		}
	}
	if c.Selected != nil && *c.Selected < cf.sources && c.State == observe.ClockSynchronised {
		fault(plainWarning, fmt.Sprintf("sources in use: %d, fewer than %d", *c.Selected, cf.sources))
	}
	for i := range r.KeyHosts {
		cf.certificate(&r.KeyHosts[i], r, fault)
	}
	text := strings.Join(faults, "; ")
	if text == "" {
		text = strings.TrimSuffix(r.Headline, ".")
	}
	return fmt.Sprintf("NTP %s - %s | %s", severities[code], strings.ReplaceAll(text, "|", "/"), cf.performance(r)), code
}

func (cf *checkFlags) certificate(k *observe.KeyHost, r *observe.Report, fault func(int, string)) {
	if k.NotAfter == nil || r.Time == nil || cf.days <= 0 {
		return
	}
	switch left := k.NotAfter.Sub(*r.Time); {
	case left < 0:
		fault(plainCritical, fmt.Sprintf("the certificate of %s %s", k.Address, expiry(left.Seconds())))
	case left < time.Duration(cf.days)*24*time.Hour:
		fault(plainWarning, fmt.Sprintf("the certificate of %s expires in %s", k.Address, observe.Rough(left.Seconds())))
	}
}

// performance is the data that monitoring systems draw: label=value with
// unit;warning;critical.
func (cf *checkFlags) performance(r *observe.Report) string {
	var all []string
	add := func(label string, v *float64, unit, limits string) {
		if v != nil {
			all = append(all, fmt.Sprintf("%s=%.9f%s%s", label, *v, unit, limits))
		}
	}
	add("error_bound", r.Clock.ErrorBound, "s", fmt.Sprintf(";%g;%g", cf.warn.Seconds(), cf.critical.Seconds()))
	add("offset", r.Clock.Offset, "s", "")
	all = append(all, fmt.Sprintf("stratum=%d", r.Clock.Stratum))
	if r.Clock.Selected != nil {
		all = append(all, fmt.Sprintf("sources=%d;%d:", *r.Clock.Selected, cf.sources))
	}
	return strings.Join(all, " ")
}
