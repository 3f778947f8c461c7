package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

func acceptStepCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "accept-step",
		Short: "Let the steps of the clock so far not count against accumulated-step-panic-threshold",
		Long: `Let the steps of the clock so far not count against accumulated-step-panic-threshold. Where the daemon has stopped
because of it, the file that remembers the steps (state-path) is changed, and the daemon can be started again. Look at the
clock first: the limit was exceeded for some reason.`,
		Example: "  ntp-ctl accept-step",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return acceptStep(cmd, f) },
	}
}

func acceptStep(cmd *cobra.Command, f *flags) error {
	err := tell(cmd, f, control.Request{Verb: control.AcceptStep})
	if !errors.Is(err, control.ErrUnreachable) {
		return err
	}
	cfg, configErr := readConfig(f.config)
	if configErr != nil {
		return configErr
	}
	path := cfg.Synchronization.StatePath
	if path == "" {
		return err
	}
	before, stateErr := forgetSteps(path)
	switch {
	case errors.Is(stateErr, fs.ErrNotExist):
		return fmt.Errorf("%w; and there is no saved state %s either", err, path)
	case errors.Is(stateErr, fs.ErrPermission):
		return cli.Exit(cli.NoPermission, fmt.Errorf("%w (run it as root)", stateErr))
	case stateErr != nil:
		return cli.Exit(cli.Failure, stateErr)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "the daemon does not run; %s remembered steps of %.3f s, which count no longer when it is started\n", path, before)
	return nil
}
