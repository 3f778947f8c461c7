package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// network is what the verbs that ask servers have in common.
type network struct {
	only4, only6 bool
	port         uint16
	timeout      time.Duration
	authority    string
	json         bool
}

func (n *network) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&n.only4, "ipv4", "4", false, "use IPv4 only")
	f.BoolVarP(&n.only6, "ipv6", "6", false, "use IPv6 only")
	f.Uint16Var(&n.port, "port", 0, "port to ask where none is written (default 123, or 4460 for key exchange)")
	f.DurationVar(&n.timeout, "timeout", probe.DefaultTimeout, "how long an answer may take")
	f.StringVar(&n.authority, "ca", "", "file of certificate authorities to trust besides the system's")
	f.BoolVar(&n.json, "json", false, "print JSON")
}

func (n *network) name() string {
	switch {
	case n.only4:
		return "ip4"
	case n.only6:
		return "ip6"
	default:
		return "ip"
	}
}

func (n *network) roots() (*x509.CertPool, error) {
	if n.authority == "" {
		return nil, nil
	}
	roots, err := ke.LoadRoots(n.authority)
	if err != nil {
		return nil, cli.Exit(int(probe.Unknown), err)
	}
	return roots, nil
}

// targets reads HOST, HOST:PORT or [ADDRESS]:PORT.
func (n *network) targets(args []string, port uint16) ([]probe.Target, error) {
	switch {
	case n.timeout <= 0:
		return nil, cli.Exit(cli.Usage, errors.New("--timeout must be above zero"))
	case n.only4 && n.only6:
		return nil, cli.Exit(cli.Usage, errors.New("-4 and -6 do not go together"))
	}
	if n.port != 0 {
		port = n.port
	}
	var out []probe.Target
	for _, arg := range args {
		a, err := config.ParseAddress(arg, port)
		if err != nil {
			return nil, cli.Exit(cli.Usage, fmt.Errorf("%q is no host: %w", arg, err))
		}
		out = append(out, probe.Target{Host: a.Host, Port: a.Port})
	}
	return out, nil
}

// someHosts wants at least one host.
func someHosts(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cli.Exit(cli.Usage, fmt.Errorf("which host? (see %s --help)", cmd.CommandPath()))
	}
	return nil
}

func queryCommand() *cobra.Command {
	n := &network{}
	o := &probe.QueryOptions{}
	var compare, pool bool
	cmd := &cobra.Command{
		Use:     "query HOST[:PORT]...",
		Short:   "Ask servers for the time once, without a daemon",
		Example: "  ntp-ctl query --compare --count 4 time.example.org ntp1.example.net\n  ntp-ctl query --nts time.example.org",
		Long: "Ask servers for the time and show how far this machine's clock is off. No daemon and no privilege is needed.\n\n" +
			"Exit codes: 0 all answered, 1 some requests were lost or servers disagree, 2 a server gave no time, 3 the question could not be put.",
		Args: someHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			if pool {
				o.Pool = max(o.Pool, 4)
			}
			o.NTS = o.NTS || o.SRV || pool
			port := uint16(config.PortNTP)
			if o.NTS {
				port = config.PortNTSKE
			}
			if o.Count < 1 || o.Count > 100 {
				return cli.Exit(cli.Usage, errors.New("--count goes from 1 to 100"))
			}
			if o.SRV && pool {
				return cli.Exit(cli.Usage, errors.New("--srv and --nts-pool do not go together"))
			}
			targets, err := n.targets(args, port)
			if err != nil {
				return err
			}
			if o.Client.Roots, err = n.roots(); err != nil {
				return err
			}
			o.Network, o.Timeout = n.name(), n.timeout
			report := probe.Summarise(probe.Query(cmd.Context(), targets, *o), compare)
			return n.show(cmd.OutOrStdout(), report.Status, report, report.Write)
		},
	}
	n.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.NTS, "nts", false, "authenticate with NTS: HOST is a key-exchange server")
	f.BoolVar(&o.SRV, "srv", false, "find the key-exchange servers of a domain by its SRV records")
	f.BoolVar(&pool, "nts-pool", false, "ask the key exchange of a pool for several servers")
	f.IntVar(&o.Count, "count", 1, "requests to each server")
	f.DurationVar(&o.Interval, "interval", 2*time.Second, "time between requests to a server")
	f.BoolVar(&compare, "compare", false, "say whether the servers agree")
	return cmd
}

// show prints what was asked for and turns a severity into the exit code.
func (n *network) show(w io.Writer, status probe.Severity, report any, text func(io.Writer) error) error {
	var err error
	if n.json {
		err = writeJSON(w, report)
	} else {
		err = text(w)
	}
	if err != nil || status == probe.OK {
		return err
	}
	return cli.Exit(int(status), nil)
}
