package main

import (
	"sync"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

func ntsCheckCommand() *cobra.Command {
	n := &network{}
	o := &probe.CheckOptions{Algorithms: true, Lengths: true}
	cmd := &cobra.Command{
		Use:     "nts-check HOST[:PORT]...",
		Short:   "Check NTS with key-exchange servers, step by step, without a daemon",
		Example: "  ntp-ctl nts-check time.example.org",
		Long: "Check NTS with key-exchange servers: connection, certificate chain, application protocol, algorithms, cookies, then NTP\n" +
			"without and with NTS in packets of several lengths. The first line of each server says in one sentence what is wrong.\n\n" +
			"Exit codes: 0 all work, 1 something will not work for long or not always, 2 NTS does not work, 3 the check could not be made.",
		Args: someHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := n.targets(args, config.PortNTSKE)
			if err != nil {
				return err
			}
			if o.Roots, err = n.roots(); err != nil {
				return err
			}
			o.Network, o.Timeout = n.name(), n.timeout
			checks := make([]*probe.Check, len(targets))
			var all sync.WaitGroup
			for i, t := range targets {
				all.Go(func() {
					one := *o
					one.Target = t
					checks[i] = probe.CheckNTS(cmd.Context(), one)
				})
			}
			all.Wait()
			report := probe.Checked(checks)
			return n.show(cmd.OutOrStdout(), report.Status, report, report.Write)
		},
	}
	n.flags(cmd)
	cmd.Flags().IntVar(&o.CertificateDays, "cert-days", 14, "warn when the certificate expires within so many days")
	return cmd
}
