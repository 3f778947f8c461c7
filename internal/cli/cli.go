// Package cli is what the commands share: exit codes, one-line errors and
// the handling of flags.
package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Exit codes, after sysexits(3) as ntpd-rs uses them.
const (
	Success      = 0
	Failure      = 1  // the command ran and the answer is no
	Usage        = 64 // wrong flags or arguments
	Software     = 70 // a resource of the machine could not be had
	NoPermission = 77 // a privilege is missing
	Config       = 78 // the configuration cannot be used
)

// exitError is an error with the exit code that it deserves.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Exit gives an error an exit code. A nil error with a code other than
// Success exits silently: the command has already said what it found.
func Exit(code int, err error) error {
	if err == nil {
		err = errSilent
	}
	return &exitError{code, err}
}

var errSilent = errors.New("")

// Code is the exit code of an error that Run would return.
func Code(err error) int {
	if err == nil {
		return Success
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return Failure
}

// Run executes a command and returns the exit code. An error prints as one
// line on stderr that begins with the command's name.
func Run(cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Exit(Usage, fmt.Errorf("%w (see %s --help)", err, c.CommandPath()))
	})
	err := cmd.Execute()
	if err != nil && !errors.Is(err, errSilent) {
		fmt.Fprintf(stderr, "%s: %v\n", cmd.Name(), err)
	}
	return Code(err)
}

// NoArgs refuses positional arguments with the usage exit code.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Exit(Usage, fmt.Errorf("unexpected argument %q (see %s --help)", args[0], cmd.CommandPath()))
	}
	return nil
}

// Version adds -v/--version, which prints the command's name and version.
func Version(cmd *cobra.Command, version string) {
	cmd.Version = version
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.Flags().BoolP("version", "v", false, "print the version")
}

// Absolute makes the path in an error of package os absolute, so that a
// person need not know the working directory.
func Absolute(err error) error {
	p, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	abs, absErr := filepath.Abs(p.Path)
	if absErr != nil {
		return err
	}
	return &fs.PathError{Op: p.Op, Path: abs, Err: p.Err}
}
