package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

func sourceCommand(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "List, add, remove and refresh sources while the daemon runs",
		Args:  noVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(sourceListCommand(f), sourceAddCommand(f), sourceRemoveCommand(f), sourceRefreshCommand(f))
	return cmd
}

func sourceListCommand(f *flags) *cobra.Command {
	sf, asJSON := &screenFlags{}, false
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the configured sources, with what was added and removed since the start",
		Example: "  ntp-ctl source list",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := command(f, control.Request{Verb: control.SourceList})
			if err != nil {
				return err
			}
			var all []control.Source
			if err := json.Unmarshal(a.Data, &all); err != nil {
				return cli.Exit(cli.Failure, fmt.Errorf("the answer is not understood: %w", err))
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			writeSources(cmd, sf, all)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	screenOptions(cmd, sf)
	return cmd
}

func writeSources(cmd *cobra.Command, sf *screenFlags, all []control.Source) {
	mode, name, count, origin := &column{title: "MODE"}, &column{title: "SOURCE", least: 14}, &column{title: "SERVERS", right: true}, &column{title: "FROM"}
	for i := range all {
		s := &all[i]
		from := "the configuration"
		switch {
		case s.Removed:
			from = "the configuration, removed until a restart"
		case s.Added:
			from = "ntp-ctl, until a restart"
		}
		servers := fmt.Sprint(s.Count)
		if s.Removed {
			servers = "-"
		}
		mode.cells, name.cells = append(mode.cells, dash(s.Mode)), append(name.cells, s.Name)
		count.cells, origin.cells = append(count.cells, servers), append(origin.cells, from)
	}
	newScreen(cmd.OutOrStdout(), os.Getenv, sf).grid(cmd.OutOrStdout(), []*column{mode, name, count, origin}, nil)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sourceAddCommand(f *flags) *cobra.Command {
	var authority string
	var count int
	var set []string
	cmd := &cobra.Command{
		Use:   "add MODE ADDRESS",
		Short: "Use another source from now on, until a restart",
		Long: `Use another source from now on. It takes every key of [[source]]: those without a flag of their own with --set, as they
would stand in the file. The configuration file is not changed. A source that was removed before comes back as the file
has it.`,
		Example: `  ntp-ctl source add nts time.example.com
  ntp-ctl source add pool pool.example.com --count 3 --set 'poll-interval-limits = { min = 5, max = 9 }'`,
		Args: exactly("a mode and an address", 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := []string{"mode = " + quote(args[0]), "address = " + quote(args[1])}
			if cmd.Flags().Changed("count") {
				keys = append(keys, fmt.Sprintf("count = %d", count))
			}
			if authority != "" {
				keys = append(keys, "certificate-authority = "+quote(authority))
			}
			return tell(cmd, f, control.Request{Verb: control.SourceAdd, Config: strings.Join(append(keys, set...), "\n")})
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "how many servers of a pool to use")
	cmd.Flags().StringVar(&authority, "certificate-authority", "", "PEM file of authorities to trust besides the system's; the daemon reads it")
	cmd.Flags().StringArrayVar(&set, "set", nil, "another key with its value, as in the file")
	return cmd
}

// quote makes a TOML string, which a JSON string is.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string can always be marshalled
	}
	return string(b)
}

func sourceRemoveCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:     "remove SOURCE",
		Short:   "Use a source no longer, until a restart",
		Example: "  ntp-ctl source remove time.example.com",
		Args:    exactly("one source, as source list names it", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return tell(cmd, f, control.Request{Verb: control.SourceRemove, Source: args[0]})
		},
	}
}

func sourceRefreshCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:     "refresh [SOURCE]",
		Short:   "Ask a source, or all of them, at once, and look up again what does not answer",
		Example: "  ntp-ctl source refresh",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return cli.Exit(cli.Usage, fmt.Errorf("give one source or none (see %s --help)", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return tell(cmd, f, control.Request{Verb: control.SourceRefresh, Source: strings.Join(args, "")})
		},
	}
}

// exactly wants a number of arguments.
func exactly(what string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return cli.Exit(cli.Usage, fmt.Errorf("give %s (see %s --help)", what, cmd.CommandPath()))
		}
		return nil
	}
}
