package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// readTimeout bounds the wait for a daemon that accepts but does not answer.
const readTimeout = 5 * time.Second

func statusCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether the clock is synchronised, and to what",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return status(cmd.OutOrStdout(), f) },
	}
}

func status(w io.Writer, f *flags) error {
	write, ok := map[string]func(io.Writer, *observe.State) error{
		"table":      writeTable,
		"plain":      observe.WritePlain,
		"prometheus": observe.WritePrometheus,
	}[f.format]
	if !ok {
		return cli.Exit(cli.Usage, fmt.Errorf("unknown format %q: use table, plain or prometheus", f.format))
	}
	path, err := observationPath(f.config)
	if err != nil {
		return err
	}
	s, err := observe.Read(path, readTimeout)
	if err != nil {
		return cli.Exit(cli.Failure, err)
	}
	return write(w, &s)
}

// observationPath finds the daemon's socket. A configuration that does not
// load does not keep an operator from looking: only the path matters here.
func observationPath(file string) (string, error) {
	explicit := file != ""
	if !explicit {
		file = defaultConfig
	}
	data, err := os.ReadFile(file)
	switch {
	case !explicit && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		return observe.DefaultPath, nil
	case err != nil:
		return "", cli.Exit(cli.Config, fmt.Errorf("configuration: %w", cli.Absolute(err)))
	}
	cfg, problems := config.Parse(file, data)
	if cfg == nil {
		fmt.Fprintf(os.Stderr, "ntp-ctl: %v\n", problems)
		return observe.DefaultPath, nil
	}
	if cfg.Observability.ObservationPath == "" {
		return "", cli.Exit(cli.Failure, fmt.Errorf("%s switches the observation socket off (observation-path = \"\"): the daemon cannot be asked", file))
	}
	return cfg.Observability.ObservationPath, nil
}
