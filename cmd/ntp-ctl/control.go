package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// commandTimeout bounds the wait for a daemon that carries out a command.
const commandTimeout = 15 * time.Second

// command sends a request over the control socket. The error has its exit
// code.
func command(f *flags, r control.Request) (control.Answer, error) {
	cfg, err := readConfig(f.config)
	if err != nil {
		return control.Answer{}, err
	}
	path := cfg.Observability.ControlPath
	if path == "" {
		return control.Answer{}, cli.Exit(cli.Failure, fmt.Errorf("%s switches the control socket off (control-path = \"\"): the daemon cannot be commanded", cfg.Pos.File))
	}
	a, err := control.Do(path, r, commandTimeout)
	switch {
	case errors.Is(err, control.ErrPermission):
		return a, cli.Exit(cli.NoPermission, err)
	case err != nil:
		return a, cli.Exit(cli.Failure, err)
	}
	return a, nil
}

// tell sends a request and prints what the daemon did.
func tell(cmd *cobra.Command, f *flags, r control.Request) error {
	a, err := command(f, r)
	if err != nil {
		return err
	}
	printLines(cmd.OutOrStdout(), a.Text)
	return nil
}

func printLines(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
}

func reloadCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration, certificates and keys anew",
		Long: `Have the daemon read its configuration file, certificates, keys and authorities anew, as SIGHUP does.

Sources that stay the same keep their servers and what is known of them; open connections go on. When anything is wrong,
everything stays as it was and the reasons are said. What takes a restart is named.`,
		Example: "  ntp-ctl reload",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return tell(cmd, f, control.Request{Verb: control.Reload}) },
	}
}

func keysCommand(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Renew the keys that seal NTS cookies",
		Args:  noVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "rotate",
		Short:   "Seal new cookies with a new key; old cookies stay good for stale-key-count renewals",
		Example: "  ntp-ctl keys rotate",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return tell(cmd, f, control.Request{Verb: control.KeysRotate})
		},
	})
	return cmd
}

// noVerb refuses what is no verb of a command that has some.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Exit(cli.Usage, fmt.Errorf("unknown command %q (see %s --help)", args[0], cmd.CommandPath()))
	}
	return nil
}
