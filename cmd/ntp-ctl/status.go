package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/configfile"
)

// readTimeout bounds the wait for a daemon that accepts but does not answer.
const readTimeout = 5 * time.Second

// statusFlags are the flags of the verb.
type statusFlags struct {
	screenFlags
	json, schema bool
	every        time.Duration
	times        int
}

func statusCommand(f *flags) *cobra.Command {
	sf := &statusFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the clock is synchronised, to what, and why not",
		Long: `Show whether the clock is synchronised, with a state and a reason for every configured source.

  * the reference   + agrees and is used too   - good, and waits for agreement   x disagrees with the majority
  . in progress     ? of no use now            ! needs attention

REACH shows the last eight polls, the latest on the right. OFFSET is the source's time minus the clock's, ± one standard
deviation of it. The exit code is 0 when the daemon answered, synchronised or not (see check), and 1 when it did not.`,
		Example: "  ntp-ctl status\n  ntp-ctl status --watch\n  ntp-ctl status --json",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return status(cmd, f, sf) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&sf.json, "json", false, "print JSON (see --schema)")
	fs.BoolVar(&sf.schema, "schema", false, "print the JSON schema of --json")
	fs.DurationVarP(&sf.every, "watch", "w", 0, "show it anew every so often until q or Ctrl-C")
	fs.Lookup("watch").NoOptDefVal = "2s"
	fs.IntVar(&sf.times, "times", 0, "end --watch after so many rounds; 0 for never")
	screenOptions(cmd, &sf.screenFlags)
	return cmd
}

// screenOptions adds the flags of a verb that draws on a screen.
func screenOptions(cmd *cobra.Command, f *screenFlags) {
	cmd.Flags().StringVar(&f.colour, "color", "auto", "colours: auto, always or never (NO_COLOR is honoured)")
	cmd.Flags().BoolVar(&f.ascii, "ascii", false, "use ASCII only, as where the locale is not UTF-8")
}

// status prints in the format that is asked for.
func status(cmd *cobra.Command, f *flags, sf *statusFlags) error {
	if sf.schema {
		_, err := cmd.OutOrStdout().Write(observe.StatusSchema)
		return err
	}
	if err := sf.check(cmd, f); err != nil {
		return err
	}
	path, err := observationPath(f.config)
	if err != nil {
		return err
	}
	if sf.every > 0 {
		return watch(cmd, path, f, sf)
	}
	s, err := observe.Read(path, readTimeout)
	if err != nil {
		return cli.Exit(cli.Failure, err)
	}
	return write(cmd.OutOrStdout(), &s, f, sf)
}

// check finds flags that do not go together.
func (sf *statusFlags) check(cmd *cobra.Command, f *flags) error {
	if sf.json && f.format != "table" && f.format != "json" {
		return cli.Exit(cli.Usage, fmt.Errorf("--json and -f %s do not go together", f.format))
	}
	if sf.json {
		f.format = "json"
	}
	switch f.format {
	case "table", "json", "plain", "prometheus":
	default:
		return cli.Exit(cli.Usage, fmt.Errorf("unknown format %q: use table, plain, prometheus or json", f.format))
	}
	switch sf.colour {
	case "auto", "always", "never":
	default:
		return cli.Exit(cli.Usage, fmt.Errorf("unknown value %q for --color: use auto, always or never", sf.colour))
	}
	if cmd.Flags().Changed("watch") && sf.every < shortestWatch {
		return cli.Exit(cli.Usage, fmt.Errorf("--watch %v: use %v or more", sf.every, shortestWatch))
	}
	return nil
}

// write prints one state.
func write(w io.Writer, s *observe.State, f *flags, sf *statusFlags) error {
	switch f.format {
	case "plain":
		return observe.WritePlain(w, s)
	case "prometheus":
		return observe.WritePrometheus(w, s)
	case "json":
		return writeJSON(w, observe.NewReport(s, time.Now()))
	default:
		return writeTable(w, newScreen(w, os.Getenv, &sf.screenFlags), observe.NewReport(s, time.Now()))
	}
}

// writeJSON prints a value for programs and for people.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// observationPath finds the daemon's socket. A configuration that does not
// load does not keep an operator from looking: only the path matters here.
func observationPath(file string) (string, error) {
	cfg, err := readConfig(file)
	if err != nil {
		return "", err
	}
	if cfg.Observability.ObservationPath == "" {
		return "", cli.Exit(cli.Failure, fmt.Errorf("%s switches the observation socket off (observation-path = \"\"): the daemon cannot be asked", cfg.Pos.File))
	}
	return cfg.Observability.ObservationPath, nil
}

// readConfig reads what it can of the configuration, and says what is wrong
// with it.
func readConfig(file string) (*config.Config, error) {
	cfg, problems, err := configfile.Read(file)
	if len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "ntp-ctl: %v\n", problems)
	}
	return cfg, err
}
