package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/doctor"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
)

func doctorCommand(f *flags) *cobra.Command {
	o := doctor.Options{}
	var asJSON bool
	var bundle string
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Find out why the clock is not synchronised",
		Example: "  ntp-ctl doctor\n  ntp-ctl doctor --bundle report.tar.gz",
		Long: "Check this machine, the configuration, the network and the sources, and say of each what was measured, what it ought to be and\n" +
			"how to mend it. Causes come before what follows from them. Nothing is changed, and the daemon need not run.\n\n" +
			"Exit codes: 0 all OK, 1 warnings, 2 something failed, 3 the bundle could not be written.",
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 {
				return cli.Exit(cli.Usage, errors.New("--timeout must be above zero"))
			}
			if o.Config = f.config; o.Config == "" {
				o.Config = config.DefaultPath
			}
			o.Built = built()
			report := doctor.Run(cmd.Context(), o)
			var err error
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.Write(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			if bundle != "" {
				if err := writeBundle(bundle, o, report); err != nil {
					return cli.Exit(3, fmt.Errorf("bundle: %w", cli.Absolute(err)))
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s: look through it before you send it to anybody\n", bundle)
			}
			if report.Status == doctor.OK {
				return nil
			}
			return cli.Exit(int(report.Status), nil)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&asJSON, "json", false, "print JSON")
	fs.StringVar(&bundle, "bundle", "", "write what a bug report needs into a new `FILE` (.tar.gz), without secrets")
	fs.StringVar(&o.User, "user", "", "the user that runs the daemon, for whom files must be accessible")
	fs.DurationVar(&o.Timeout, "timeout", 1500*time.Millisecond, "how long an answer may take")
	fs.IntVar(&o.CertificateDays, "cert-days", 14, "warn when a certificate expires within so many days")
	return cmd
}

// writeBundle makes a new file that only this user can read.
func writeBundle(name string, o doctor.Options, r *doctor.Report) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	commit, date := version.Commit()
	return errors.Join(doctor.Bundle(file, o, r, "ntpd-go "+version.Release+" "+commit+" "+date), file.Close())
}

// built is when this program was made, or zero where the build does not know.
func built() time.Time {
	_, date := version.Commit()
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}
	}
	return t
}
