// Command ntp-ctl looks at a running ntp-daemon and checks its configuration.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int { return cli.Run(root(), args, os.Stdout, os.Stderr) }

// flags are those that ntpd-rs accepts before or behind the verb.
type flags struct {
	config string
	format string
}

func root() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:   "ntp-ctl",
		Short: "Look at a running ntp-daemon and check its configuration",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Exit(cli.Usage, fmt.Errorf("unknown command %q (see ntp-ctl --help)", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVarP(&f.config, "config", "c", "", "configuration file (default "+config.DefaultPath+")")
	cmd.PersistentFlags().StringVarP(&f.format, "format", "f", "table", "format of status: table, plain (as ntpd-rs prints it) or prometheus")
	cmd.AddCommand(doctorCommand(f))
	cli.Version(cmd, version.Release)
	cmd.AddCommand(statusCommand(f), validateCommand(f), queryCommand(), ntsCheckCommand(), poolCommand(f),
		checkCommand(f), waitsyncCommand(f), forceSyncCommand(f), acceptStepCommand(f), sourceCommand(f), keysCommand(f), reloadCommand(f),
		historyCommand(f), plotCommand(f), clientsCommand(f))
	return cmd
}
