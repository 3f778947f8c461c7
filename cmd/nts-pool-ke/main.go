// Command nts-pool-ke is a key-exchange server that makes many NTS servers
// look like one: every client that asks it is sent to one of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/logging"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int { return cli.Run(root(), args, os.Stdout, os.Stderr) }

type flags struct {
	config string
	level  string
}

func root() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "nts-pool-ke -c FILE",
		Short:   "Make many NTS servers look like one",
		Example: "  nts-pool-ke -c pool.toml",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	cmd.PersistentFlags().StringVarP(&f.config, "config", "c", "", "configuration file (pool.toml)")
	cmd.Flags().StringVarP(&f.level, "log-level", "l", "", "trace, debug, info, warn or error, instead of the configured level")
	cli.Version(cmd, version.Release)
	cmd.AddCommand(&cobra.Command{
		Use:     "validate -c FILE",
		Short:   "Check the configuration and all files that it names",
		Example: "  nts-pool-ke validate -c pool.toml",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.validate(cmd) },
	})
	cmd.AddCommand(zoneCommand(f), tokenCommand(f))
	return cmd
}

func (f *flags) run(ctx context.Context) error {
	s, err := f.read()
	if err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if f.level == "" {
		f.level = s.cfg.LogLevel
	}
	return f.serve(ctx, s)
}

// validate reads what a start or SIGHUP would read, and runs nothing. Like
// ntp-ctl validate it exits 1 when anything is wrong.
func (f *flags) validate(cmd *cobra.Command) error {
	s, err := f.read()
	switch {
	case errors.Is(err, errNoConfig):
		return err
	case err != nil:
		return cli.Exit(cli.Failure, err)
	}
	for _, w := range s.warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w)
	}
	more := ""
	if n := len(s.cfg.DiscoveryDomains); n > 0 {
		more = fmt.Sprintf(", and those that DNS lists for %d domains", n)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Config looks good: %d time sources%s\n", len(s.sources), more)
	return nil
}

func (f *flags) read() (*settings, error) {
	if f.config == "" {
		return nil, cli.Exit(cli.Config, errNoConfig)
	}
	return read(f.config)
}

// openLog logs to standard output, like the daemon.
func openLog(name string) (*logging.Log, error) {
	level, err := logging.ParseLevel(name)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	log, err := logging.Open(logging.Options{Level: level, Journal: logging.UnderJournal(os.Getenv("JOURNAL_STREAM"))})
	if err != nil {
		return nil, cli.Exit(cli.Software, err)
	}
	return log, nil
}
