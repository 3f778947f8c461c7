package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

func validateCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:     "validate",
		Short:   "Check a configuration file and the files that it names",
		Example: "  ntp-ctl validate -c /etc/ntpd-rs/ntp.toml",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return validate(cmd, f.config) },
	}
}

// validate says everything that is wrong at once. Like ntpd-rs it exits 1
// when anything is, and says that all is well on stderr.
func validate(cmd *cobra.Command, file string) error {
	explicit := file != ""
	if !explicit {
		file = config.DefaultPath
	}
	out := cmd.ErrOrStderr()
	data, err := os.ReadFile(file)
	switch {
	case !explicit && errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(out, "note: %s does not exist: the daemon would run on its defaults (name another file with -c)\n", file)
	case err != nil:
		return cli.Exit(cli.Failure, fmt.Errorf("could not load configuration: %w", cli.Unreadable(err, cli.NameAnother)))
	}
	cfg, problems := config.Parse(file, data)
	if len(problems) == 0 {
		var fileWarnings []config.Warning
		fileWarnings, problems = checkFiles(cfg, time.Now())
		cfg.Warnings = append(cfg.Warnings, fileWarnings...)
	}
	if info, err := os.Stat(file); err == nil {
		if w, open := config.ModeWarning(file, uint32(info.Mode().Perm())); open {
			cfg.Warnings = append(cfg.Warnings, w)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(out, "error: %v\n", p)
	}
	for _, u := range cfg.Unbuilt {
		word := "note"
		if u.Effect.Refuses() {
			word = "error"
		}
		fmt.Fprintf(out, "%s: %v\n", word, u)
	}
	for _, w := range cfg.Warnings {
		word := "warning"
		if w.Info {
			word = "note"
		}
		fmt.Fprintf(out, "%s: %v\n", word, w)
	}
	if len(problems) > 0 || cfg.FailsValidate() {
		return cli.Exit(cli.Failure, nil)
	}
	fmt.Fprintln(out, "Config looks good")
	return nil
}
